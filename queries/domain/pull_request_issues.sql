-- Which issues do pull requests name?
--
-- Grain:  one row per pull request, key and issue that has the key; without issue where none was collected
-- Source: domain.pull_requests, domain.pull_request_commits, domain.commits; domain.issues, domain.board_issues,
--         domain.project_mapping; config.rules for the pattern
--
-- Rules:
-- * Keys are what issue_key_pattern finds in title, description, branch and commit messages, the pattern's first group
--   where it has one, without # and white space around. Letter case does not count. Without a pattern there are no rows.
-- * A key means the issues on boards of the same projects, and on the repository's own board. A number means the own
--   board's issue alone when that board has issues: numbers repeat from repository to repository.
-- * A key that no collected issue has stays without issue, as it may be of another tracker: not so a bare number, and
--   not what has white space in it.
-- * in_devlake marks the rows of DevLake's linker: whole matches in the first of title, description and branch that has
--   any, and every issue with that key on boards of the same project. All of them are here, foreign numbers too.
-- * Repositories that bitlake.toml does not select follow the rules called default.
WITH patterns AS (
    SELECT
        'bitbucket:BitbucketRepo:' || cast(r.connection_id AS varchar) || ':' || r.full_name AS repo_id,
        u.issue_key_pattern AS pattern,
        u.issue_key_group AS key_group
    FROM config.repositories AS r
    JOIN config.rules AS u ON u.rules = r.rules
),
requests AS (
    SELECT
        p.id, p.base_repo_id, p.title, p.description, p.head_ref,
        CASE WHEN k.repo_id IS NULL THEN d.issue_key_pattern ELSE k.pattern END AS pattern,
        cast(CASE WHEN k.repo_id IS NULL THEN d.issue_key_group ELSE k.key_group END AS integer) AS key_group
    FROM domain.pull_requests AS p
    LEFT JOIN patterns AS k ON k.repo_id = p.base_repo_id
    LEFT JOIN config.rules AS d ON d.rules = 'default'
),
texts AS (
    SELECT id, base_repo_id, 1 AS place, title AS words, pattern, key_group FROM requests
    UNION ALL
    SELECT id, base_repo_id, 2 AS place, description AS words, pattern, key_group FROM requests
    UNION ALL
    SELECT id, base_repo_id, 3 AS place, head_ref AS words, pattern, key_group FROM requests
    UNION ALL
    SELECT r.id, r.base_repo_id, 4 AS place, c.message AS words, r.pattern, r.key_group
    FROM requests AS r
    JOIN domain.pull_request_commits AS p ON p.pull_request_id = r.id
    JOIN domain.commits AS c ON c.sha = p.commit_sha
    WHERE r.pattern IS NOT NULL
),
found AS (
    SELECT id, base_repo_id, place, unnest(regexp_extract_all(words, pattern, key_group)) AS part FROM texts
),
keys AS (
    SELECT id, base_repo_id, place, spelled, lower(spelled) AS key, regexp_like(spelled, '^[0-9]+$') AS is_number
    FROM (
        SELECT DISTINCT
            id, base_repo_id, place, regexp_replace(replace(part, '#', ''), '^\s+|\s+$', '', 'g') AS spelled
        FROM found
    ) AS f
    WHERE spelled <> ''
),
devlake_found AS (
    SELECT id, base_repo_id, place, unnest(regexp_extract_all(words, pattern, 0)) AS part FROM texts WHERE place < 4
),
devlake_places AS (
    SELECT id, min(place) AS place FROM devlake_found GROUP BY id
),
devlake_keys AS (
    SELECT DISTINCT
        f.id, f.base_repo_id, f.place, lower(regexp_replace(replace(f.part, '#', ''), '^\s+|\s+$', '', 'g')) AS key
    FROM devlake_found AS f
    JOIN devlake_places AS p ON p.id = f.id AND p.place = f.place
),
collected AS (
    SELECT b.board_id, i.id AS issue_id, i.issue_key, lower(i.issue_key) AS key
    FROM domain.board_issues AS b
    JOIN domain.issues AS i ON i.id = b.issue_id
    WHERE i.issue_key <> ''
),
project_boards AS (
    SELECT DISTINCT r.row_id AS repo_id, b.row_id AS board_id
    FROM domain.project_mapping AS r
    JOIN domain.project_mapping AS b ON b.project_name = r.project_name
    WHERE r."table" = 'repos' AND b."table" = 'boards'
),
found_links AS (
    SELECT k.id, k.key, c.issue_id, c.issue_key, true AS in_devlake
    FROM devlake_keys AS k
    JOIN collected AS c ON c.key = k.key
    JOIN project_boards AS p ON p.repo_id = k.base_repo_id AND p.board_id = c.board_id
    UNION ALL
    SELECT k.id, k.key, c.issue_id, c.issue_key, false AS in_devlake
    FROM keys AS k
    JOIN collected AS c ON c.key = k.key AND c.board_id = k.base_repo_id
    UNION ALL
    SELECT k.id, k.key, c.issue_id, c.issue_key, false AS in_devlake
    FROM keys AS k
    JOIN collected AS c ON c.key = k.key
    JOIN project_boards AS p ON p.repo_id = k.base_repo_id AND p.board_id = c.board_id
    WHERE NOT k.is_number OR k.base_repo_id NOT IN (SELECT o.board_id FROM collected AS o)
),
links AS (
    SELECT id, key, issue_id, min(issue_key) AS issue_key, bool_or(in_devlake) AS in_devlake
    FROM found_links
    GROUP BY id, key, issue_id
    UNION ALL
    SELECT k.id, k.key, '' AS issue_id, min(k.spelled) AS issue_key, false AS in_devlake
    FROM keys AS k
    WHERE NOT k.is_number AND NOT regexp_like(k.spelled, '\s')
      AND NOT EXISTS (SELECT 1 FROM found_links AS l WHERE l.id = k.id AND l.key = k.key)
    GROUP BY k.id, k.key
),
places AS (
    SELECT id, key, place FROM keys
    UNION
    SELECT id, key, place FROM devlake_keys
),
sources AS (
    SELECT
        id, key,
        string_agg(
            CASE place WHEN 1 THEN 'title' WHEN 2 THEN 'description' WHEN 3 THEN 'branch' ELSE 'commit' END,
            ', ' ORDER BY place
        ) AS link_sources
    FROM places
    GROUP BY id, key
)
SELECT
    l.id AS pull_request_id,
    l.issue_id,
    p.pull_request_key,
    l.issue_key,
    '' AS _raw_data_params,
    '' AS _raw_data_table,
    s.link_sources,
    l.in_devlake
FROM links AS l
JOIN sources AS s ON s.id = l.id AND s.key = l.key
JOIN domain.pull_requests AS p ON p.id = l.id
