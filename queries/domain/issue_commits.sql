-- Which issues do commits name?
--
-- Grain:  one row per commit, key and issue that has the key; without issue where none was collected
-- Source: domain.repo_commits, domain.commits; domain.issues, domain.board_issues, domain.project_mapping; config.rules
--         for the pattern
--
-- Rules:
-- * Keys are found in the message and read as in domain.pull_request_issues, in each repository that has the commit. A
--   commit of several repositories that comes to the same issue has one row, with the smallest of them.
-- * Repositories that bitlake.toml does not select follow the rules called default.
WITH patterns AS (
    SELECT
        'bitbucket:BitbucketRepo:' || cast(r.connection_id AS varchar) || ':' || r.full_name AS repo_id,
        u.issue_key_pattern AS pattern,
        u.issue_key_group AS key_group
    FROM config.repositories AS r
    JOIN config.rules AS u ON u.rules = r.rules
),
messages AS (
    SELECT
        r.repo_id, r.commit_sha, c.message,
        CASE WHEN k.repo_id IS NULL THEN d.issue_key_pattern ELSE k.pattern END AS pattern,
        cast(CASE WHEN k.repo_id IS NULL THEN d.issue_key_group ELSE k.key_group END AS integer) AS key_group
    FROM domain.repo_commits AS r
    JOIN domain.commits AS c ON c.sha = r.commit_sha
    LEFT JOIN patterns AS k ON k.repo_id = r.repo_id
    LEFT JOIN config.rules AS d ON d.rules = 'default'
),
found AS (
    SELECT repo_id, commit_sha, unnest(regexp_extract_all(message, pattern, key_group)) AS part FROM messages
),
keys AS (
    SELECT repo_id, commit_sha, spelled, lower(spelled) AS key, regexp_like(spelled, '^[0-9]+$') AS is_number
    FROM (
        SELECT DISTINCT
            repo_id, commit_sha, regexp_replace(replace(part, '#', ''), '^\s+|\s+$', '', 'g') AS spelled
        FROM found
    ) AS f
    WHERE spelled <> ''
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
links AS (
    SELECT k.repo_id, k.commit_sha, k.key, c.issue_id, c.issue_key
    FROM keys AS k
    JOIN collected AS c ON c.key = k.key AND c.board_id = k.repo_id
    UNION ALL
    SELECT k.repo_id, k.commit_sha, k.key, c.issue_id, c.issue_key
    FROM keys AS k
    JOIN collected AS c ON c.key = k.key
    JOIN project_boards AS p ON p.repo_id = k.repo_id AND p.board_id = c.board_id
    WHERE NOT k.is_number OR k.repo_id NOT IN (SELECT o.board_id FROM collected AS o)
)
SELECT
    issue_id,
    commit_sha,
    '' AS _raw_data_params,
    '' AS _raw_data_table,
    min(issue_key) AS issue_key,
    min(repo_id) AS repo_id
FROM links
GROUP BY commit_sha, key, issue_id
UNION ALL
SELECT
    '' AS issue_id,
    k.commit_sha,
    '' AS _raw_data_params,
    '' AS _raw_data_table,
    min(k.spelled) AS issue_key,
    min(k.repo_id) AS repo_id
FROM keys AS k
WHERE NOT k.is_number AND NOT regexp_like(k.spelled, '\s')
  AND NOT EXISTS (SELECT 1 FROM links AS l WHERE l.commit_sha = k.commit_sha AND l.key = k.key)
GROUP BY k.commit_sha, k.key
