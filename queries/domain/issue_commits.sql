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
--
-- incremental: project by repo_id
WITH patterns AS (
    SELECT
        r.repo_id,
        u.issue_key_pattern AS pattern,
        u.issue_key_group AS key_group
    FROM config.repositories AS r
    INNER JOIN config.rules AS u ON u.rules = r.rules
),

messages AS (
    SELECT
        r.repo_id,
        r.commit_sha,
        c.message,
        CASE WHEN k.repo_id IS NULL THEN d.issue_key_pattern ELSE k.pattern END AS pattern,
        cast(CASE WHEN k.repo_id IS NULL THEN d.issue_key_group ELSE k.key_group END AS integer) AS key_group
    FROM domain.repo_commits AS r
    INNER JOIN domain.commits AS c ON c.sha = r.commit_sha
    LEFT JOIN patterns AS k ON k.repo_id = r.repo_id
    LEFT JOIN config.rules AS d ON d.rules = 'default'
),

found AS (
    SELECT
        repo_id,
        commit_sha,
        unnest(regexp_extract_all(message, pattern, key_group)) AS part
    FROM messages
),

spelled AS (
    SELECT
        repo_id,
        commit_sha,
        regexp_replace(regexp_replace(replace(part, '#', ''), '^\s+', ''), '\s+$', '') AS key
    FROM found
),

keys AS (
    SELECT
        repo_id,
        commit_sha,
        lower(key) AS key,
        min(key) AS spelled,
        regexp_like(lower(key), '^[0-9]+$') AS is_number
    FROM spelled
    WHERE key <> ''
    GROUP BY repo_id, commit_sha, lower(key)
),

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
        k.repo_id,
        k.commit_sha,
        k.key,
        k.spelled,
        c.issue_id,
        c.issue_key,
        c.issue_id IS NOT NULL AND (c.is_own OR NOT k.is_number OR o.board_id IS NULL) AS is_meant
    FROM keys AS k
    LEFT JOIN own_boards AS o ON o.board_id = k.repo_id
    LEFT JOIN scopes AS s ON s.repo_id = k.repo_id
    LEFT JOIN collected AS c ON c.scope = s.scope AND c.is_own = s.is_own AND c.key = k.key
),

links AS (
    SELECT
        commit_sha,
        key,
        issue_id,
        min(issue_key) AS issue_key,
        min(repo_id) AS repo_id
    FROM (
        SELECT
            repo_id,
            commit_sha,
            key,
            CASE WHEN is_meant THEN issue_id ELSE '' END AS issue_id,
            CASE WHEN is_meant THEN issue_key ELSE spelled END AS issue_key
        FROM candidates
    ) AS c
    GROUP BY commit_sha, key, issue_id
),

-- a key without issue counts where no issue has it
counted AS (
    SELECT * FROM links QUALIFY issue_id <> '' OR count(*) OVER (PARTITION BY commit_sha, key) = 1
)

SELECT
    issue_id,
    commit_sha,
    '' AS _raw_data_params,
    '' AS _raw_data_table,
    issue_key,
    repo_id
FROM counted
WHERE issue_id <> '' OR NOT regexp_like(issue_key, '^[0-9]+$|\s')
