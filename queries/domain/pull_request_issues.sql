-- Which issues do pull requests name?
--
-- Grain:  one row per pull request, key and issue that has the key; without issue where none was collected
-- Source: domain.pull_requests, domain.pull_request_commits, domain.commits; domain.issues, domain.board_issues,
--         domain.project_mapping; config.rules for the pattern
--
-- Rules:
-- * Keys are what issue_key_pattern finds in title, description, branch and commit messages, the pattern's first group
--   where it has one, without # and surrounding white space. Letter case does not matter. Without a pattern there are
--   no rows.
-- * A key means the issues on boards of the same projects, and on the repository's own board. A number means the own
--   board's issue alone when that board has issues: numbers repeat from repository to repository.
-- * A key that no collected issue has is kept without issue, because it may belong to another tracker. A bare number,
--   and a key with white space in it, is dropped.
-- * in_devlake marks the rows of DevLake's linker: whole matches in the first of title, description and branch that has
--   any, and every issue with that key on boards of the same project. All of them are here, foreign numbers too.
-- * Repositories that bitlake.toml does not select follow the rules called default.
--
-- incremental: project by pull_request_id
WITH patterns AS (
    SELECT
        r.repo_id,
        u.issue_key_pattern AS pattern,
        u.issue_key_group AS key_group
    FROM config.repositories AS r
    INNER JOIN config.rules AS u ON u.rules = r.rules
),

requests AS (
    SELECT
        p.id,
        p.base_repo_id,
        p.title,
        p.description,
        p.head_ref,
        CASE WHEN k.repo_id IS NULL THEN d.issue_key_pattern ELSE k.pattern END AS pattern,
        cast(CASE WHEN k.repo_id IS NULL THEN d.issue_key_group ELSE k.key_group END AS integer) AS key_group
    FROM domain.pull_requests AS p
    LEFT JOIN patterns AS k ON k.repo_id = p.base_repo_id
    LEFT JOIN config.rules AS d ON d.rules = 'default'
),

texts AS (
    SELECT
        id,
        base_repo_id,
        1 AS place,
        title AS words,
        pattern,
        key_group
    FROM requests
    UNION ALL
    SELECT
        id,
        base_repo_id,
        2 AS place,
        description AS words,
        pattern,
        key_group
    FROM requests
    UNION ALL
    SELECT
        id,
        base_repo_id,
        3 AS place,
        head_ref AS words,
        pattern,
        key_group
    FROM requests
    UNION ALL
    SELECT
        r.id,
        r.base_repo_id,
        4 AS place,
        c.message AS words,
        r.pattern,
        r.key_group
    FROM requests AS r
    INNER JOIN domain.pull_request_commits AS p ON p.pull_request_id = r.id
    INNER JOIN domain.commits AS c ON c.sha = p.commit_sha
    WHERE r.pattern IS NOT NULL
),

found AS (
    SELECT
        id,
        base_repo_id,
        place,
        FALSE AS whole,
        unnest(regexp_extract_all(words, pattern, key_group)) AS part
    FROM texts
    UNION ALL
    SELECT
        id,
        base_repo_id,
        place,
        TRUE AS whole,
        unnest(regexp_extract_all(words, pattern, 0)) AS part
    FROM texts
    WHERE place < 4
),

spelled AS (
    SELECT
        id,
        base_repo_id,
        place,
        whole,
        whole AND place = min(place) OVER (PARTITION BY id, whole) AS by_devlake,
        regexp_replace(regexp_replace(replace(part, '#', ''), '^\s+', ''), '\s+$', '') AS key
    FROM found
),

keys AS (
    SELECT
        id,
        base_repo_id,
        lower(key) AS key,
        min(key) FILTER (WHERE NOT whole) AS spelled,
        bool_or(NOT whole) AS by_group,
        bool_or(by_devlake) AS by_devlake,
        regexp_like(lower(key), '^[0-9]+$') AS is_number,
        concat_ws(
            ', ',
            CASE WHEN bool_or(place = 1) THEN 'title' END,
            CASE WHEN bool_or(place = 2) THEN 'description' END,
            CASE WHEN bool_or(place = 3) THEN 'branch' END,
            CASE WHEN bool_or(place = 4) THEN 'commit' END
        ) AS link_sources
    FROM spelled
    WHERE key <> '' AND (by_devlake OR NOT whole)
    GROUP BY id, base_repo_id, lower(key)
),

-- where a repository's keys may point: to the boards of its projects, and to its own
scopes AS (
    SELECT
        row_id AS repo_id,
        FALSE AS is_own,
        project_name AS scope
    FROM domain.project_mapping WHERE "table" = 'repos'
    UNION ALL
    SELECT DISTINCT
        board_id AS repo_id,
        TRUE AS is_own,
        board_id AS scope
    FROM domain.board_issues
),

collected AS (
    SELECT
        m.scope,
        m.is_own,
        i.id AS issue_id,
        i.issue_key,
        lower(i.issue_key) AS key
    FROM domain.issues AS i
    INNER JOIN domain.board_issues AS b ON b.issue_id = i.id
    INNER JOIN (
        SELECT
            row_id AS board_id,
            FALSE AS is_own,
            project_name AS scope
        FROM domain.project_mapping
        WHERE "table" = 'boards'
        UNION ALL
        SELECT DISTINCT
            board_id,
            TRUE AS is_own,
            board_id AS scope
        FROM domain.board_issues
    ) AS m ON m.board_id = b.board_id
),

own_boards AS (
    SELECT DISTINCT board_id FROM domain.board_issues
),

candidates AS (
    SELECT
        k.*,
        c.issue_id,
        c.issue_key,
        c.issue_id IS NOT NULL AND k.by_devlake AND NOT c.is_own AS in_devlake,
        c.issue_id IS NOT NULL AND k.by_group AND (c.is_own OR NOT k.is_number OR o.board_id IS NULL) AS is_meant
    FROM keys AS k
    LEFT JOIN own_boards AS o ON o.board_id = k.base_repo_id
    LEFT JOIN scopes AS s ON s.repo_id = k.base_repo_id
    LEFT JOIN collected AS c ON c.scope = s.scope AND c.is_own = s.is_own AND c.key = k.key
),

links AS (
    SELECT
        id,
        key,
        issue_id,
        min(issue_key) AS issue_key,
        bool_or(in_devlake) AS in_devlake,
        min(link_sources) AS link_sources
    FROM (
        SELECT
            id,
            key,
            link_sources,
            in_devlake,
            CASE WHEN in_devlake OR is_meant THEN issue_id ELSE '' END AS issue_id,
            CASE WHEN in_devlake OR is_meant THEN issue_key ELSE spelled END AS issue_key
        FROM candidates
    ) AS c
    GROUP BY id, key, issue_id
),

-- a key without issue counts where no issue has it
counted AS (
    SELECT * FROM links QUALIFY issue_id <> '' OR count(*) OVER (PARTITION BY id, key) = 1
)

SELECT
    l.id AS pull_request_id,
    l.issue_id,
    p.pull_request_key,
    l.issue_key,
    '' AS _raw_data_params,
    '' AS _raw_data_table,
    l.link_sources,
    l.in_devlake
FROM counted AS l
INNER JOIN domain.pull_requests AS p ON p.id = l.id
WHERE l.issue_id <> '' OR (l.issue_key IS NOT NULL AND NOT regexp_like(l.issue_key, '^[0-9]+$|\s'))
