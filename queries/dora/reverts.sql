-- Which changes take back which others?
--
-- Grain:  one row per merged pull request and commit that it says it takes back
-- Source: domain.pull_requests, domain.pull_request_commits, domain.commits
--
-- Rules:
-- * "This reverts commit <40 characters>" in the description, in the message of one of its commits or of its
--   merge commit names the commit; one that a merged pull request lists stands for that one's merge commit too.
-- * A title such as Revert "Fix the cart" names the last pull request of that title merged before this one was
--   opened; a title such as Revert "…" (pull request #12) the one of that number.
WITH merged AS (
    SELECT
        id, base_repo_id, pull_request_key, title, description, created_date, merged_date,
        CASE WHEN merge_commit_sha_match IN ('ambiguous', 'missing') THEN '' ELSE merge_commit_sha END AS merge_commit_sha
    FROM domain.pull_requests
    WHERE merged_date IS NOT NULL
),
texts AS (
    SELECT id, base_repo_id, merged_date, description AS body FROM merged
    UNION ALL
    SELECT p.id, p.base_repo_id, p.merged_date, c.message AS body
    FROM merged AS p
    JOIN domain.pull_request_commits AS l ON l.pull_request_id = p.id
    JOIN domain.commits AS c ON c.sha = l.commit_sha
    UNION ALL
    SELECT p.id, p.base_repo_id, p.merged_date, c.message AS body
    FROM merged AS p
    JOIN domain.commits AS c ON c.sha = p.merge_commit_sha
),
messages AS (
    SELECT
        id, base_repo_id, merged_date,
        regexp_replace(body, '(?s)^.*?This reverts commit ([0-9a-f]{40}).*$', '\1') AS reverted_sha
    FROM texts
    WHERE regexp_like(body, 'This reverts commit [0-9a-f]{40}')
),
titles AS (
    SELECT
        id, base_repo_id, merged_date, coalesce(created_date, merged_date) AS opened,
        CASE WHEN regexp_like(title, '(?is)^revert.*pull request #\d{1,9}\)')
             THEN cast(regexp_replace(title, '(?is)^revert.*pull request #(\d{1,9})\).*$', '\1') AS bigint)
             END AS reverted_key,
        CASE WHEN regexp_like(title, '(?is)^revert:? ".+"')
             THEN regexp_replace(title, '(?is)^revert:? "(.+)".*$', '\1') END AS reverted_title
    FROM merged
    WHERE regexp_like(title, '(?i)^revert')
),
-- pull requests by each of their commits, the merge commit included
holders AS (
    SELECT id, base_repo_id, merge_commit_sha AS commit_sha, merge_commit_sha, merged_date FROM merged
    UNION
    SELECT p.id, p.base_repo_id, l.commit_sha, p.merge_commit_sha, p.merged_date
    FROM merged AS p
    JOIN domain.pull_request_commits AS l ON l.pull_request_id = p.id
),
found AS (
    SELECT
        m.id, m.base_repo_id, m.merged_date, 1 AS preference, 'message' AS source,
        m.reverted_sha, coalesce(h.id, '') AS reverted_id, coalesce(h.merged_date, c.committed_date) AS reverted_date
    FROM messages AS m
    LEFT JOIN holders AS h
      ON h.base_repo_id = m.base_repo_id AND h.merge_commit_sha = m.reverted_sha AND h.commit_sha = m.reverted_sha
    LEFT JOIN domain.commits AS c ON c.sha = m.reverted_sha
    UNION ALL
    SELECT
        m.id, m.base_repo_id, m.merged_date, 2 AS preference, 'message' AS source,
        h.merge_commit_sha AS reverted_sha, h.id AS reverted_id, h.merged_date AS reverted_date
    FROM messages AS m
    JOIN holders AS h ON h.base_repo_id = m.base_repo_id AND h.commit_sha = m.reverted_sha
    UNION ALL
    SELECT
        t.id, t.base_repo_id, t.merged_date, 3 AS preference, 'title' AS source,
        p.merge_commit_sha AS reverted_sha, p.id AS reverted_id, p.merged_date AS reverted_date
    FROM titles AS t
    JOIN merged AS p ON p.base_repo_id = t.base_repo_id AND p.pull_request_key = t.reverted_key
    UNION ALL
    SELECT id, base_repo_id, merged_date, preference, source, reverted_sha, reverted_id, reverted_date
    FROM (
        SELECT
            t.id, t.base_repo_id, t.merged_date, 4 AS preference, 'title' AS source,
            p.merge_commit_sha AS reverted_sha, p.id AS reverted_id, p.merged_date AS reverted_date
        FROM titles AS t
        JOIN merged AS p ON p.base_repo_id = t.base_repo_id AND p.title = t.reverted_title
        WHERE p.merged_date <= t.opened
        QUALIFY row_number() OVER (PARTITION BY t.id ORDER BY p.merged_date DESC NULLS LAST, p.id) = 1
    ) AS by_title
)
SELECT
    id AS pull_request_id,
    reverted_sha AS reverted_commit_sha,
    reverted_id AS reverted_pull_request_id,
    base_repo_id AS repo_id,
    merged_date,
    reverted_date,
    source
FROM found
WHERE reverted_sha <> '' AND reverted_id <> id
QUALIFY row_number() OVER (
    PARTITION BY id, reverted_sha ORDER BY CASE WHEN reverted_id = '' THEN 1 ELSE 0 END, preference, reverted_id
) = 1
