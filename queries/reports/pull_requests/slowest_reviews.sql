-- Which merged pull requests took longest from opening to merge, and where did the time go?
--
-- Grain:  one row per project and merged pull request
-- Source: dora.project_pr_metrics (the parts); domain.pull_request_comments and domain.pull_request_commits (rounds,
--         comments, reviewers)
--
-- Rules:
-- * "open to merge h" is the sum of the three parts that follow: to the first response by another person, from there to
--   the first approval, from there to the merge. What did not happen before the merge counts as the merge.
-- * reason names the longest part.
-- * rounds counts how often the turn went to the reviewers: their answers without a comment or commit of the author in
--   between are one round. A commit counts when it was authored.
-- * comments and reviewers are those of other people. Bots, their pull requests, and promotions are left out.
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   merged at or after
-- param: to timestamp = null   merged before
-- param: n bigint = 20   how many
WITH merged AS (
    SELECT
        m.project_name,
        m.id,
        p.base_repo_id,
        p.pull_request_key,
        p.title,
        p.author_name,
        p.author_id,
        p.url,
        m.pr_created_date,
        m.pr_merged_date,
        m.pickup_seconds,
        m.review_seconds,
        m.merge_seconds,
        m.pickup_seconds + m.review_seconds + m.merge_seconds AS seconds,
        m.first_response_date <= m.pr_merged_date AS is_answered,
        m.first_approval_date <= m.pr_merged_date AS is_approved
    FROM dora.project_pr_metrics AS m
    INNER JOIN domain.pull_requests AS p ON p.id = m.id
    WHERE NOT m.author_is_bot
        AND p.promotion_evidence IS NULL
        AND ($project IS NULL OR list_contains($project, m.project_name))
        AND ($repo IS NULL OR m.repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
        AND ($from IS NULL OR m.pr_merged_date >= $from)
        AND ($to IS NULL OR m.pr_merged_date < $to)
),

slowest AS (
    SELECT *
    FROM merged
    ORDER BY seconds DESC NULLS LAST, project_name, id
    LIMIT $n
),

-- what the author and other people did between opening and merge
acts AS (
    SELECT
        s.project_name,
        s.id AS pull_request_id,
        c.id,
        c.created_date AS happened,
        c.account_id,
        c.type <> 'REVIEW' AS is_comment,
        c.account_id <> s.author_id AS is_answer
    FROM slowest AS s
    INNER JOIN domain.pull_request_comments AS c ON c.pull_request_id = s.id
    LEFT JOIN domain.accounts AS a ON a.id = c.account_id
    WHERE c.account_id <> ''
        AND coalesce(a.is_bot, FALSE) = FALSE
        AND c.created_date <= s.pr_merged_date
    UNION ALL
    SELECT
        s.project_name,
        s.id AS pull_request_id,
        c.commit_sha,
        c.commit_authored_date,
        s.author_id,
        FALSE,
        FALSE
    FROM slowest AS s
    INNER JOIN domain.pull_request_commits AS c ON c.pull_request_id = s.id
    WHERE c.commit_authored_date > s.pr_created_date AND c.commit_authored_date <= s.pr_merged_date
),

turns AS (
    SELECT
        *,
        lag(is_answer) OVER (
            PARTITION BY project_name, pull_request_id
            ORDER BY happened NULLS FIRST, is_answer NULLS FIRST, id NULLS FIRST
        ) AS was_answer
    FROM acts
),

answers AS (
    SELECT
        project_name,
        pull_request_id,
        count(*) FILTER (WHERE NOT coalesce(was_answer, FALSE)) AS rounds,
        count(*) FILTER (WHERE is_comment) AS comments,
        count(DISTINCT account_id) AS reviewers
    FROM turns
    WHERE is_answer
    GROUP BY project_name, pull_request_id
)

SELECT
    s.project_name AS project,
    coalesce(r.name, s.base_repo_id) AS repository,
    s.pull_request_key AS number,
    s.title,
    s.author_name AS author,
    s.pr_merged_date AS merged,
    round(s.seconds / 360.0) / 10 AS "open to merge h",
    round(s.pickup_seconds / 360.0) / 10 AS "to first response h",
    round(s.review_seconds / 360.0) / 10 AS "to approval h",
    round(s.merge_seconds / 360.0) / 10 AS "to merge h",
    CASE
        WHEN s.is_answered IS NOT TRUE THEN 'merged without a response'
        WHEN s.pickup_seconds >= s.review_seconds AND s.pickup_seconds >= s.merge_seconds
            THEN 'waited for the first response'
        WHEN s.review_seconds >= s.merge_seconds AND s.is_approved IS NOT TRUE THEN 'answered, merged without approval'
        WHEN s.review_seconds >= s.merge_seconds THEN 'waited for the approval'
        ELSE 'approved, waited for the merge'
    END AS reason,
    coalesce(a.rounds, 0) AS rounds,
    coalesce(a.comments, 0) AS comments,
    coalesce(a.reviewers, 0) AS reviewers,
    s.url
FROM slowest AS s
LEFT JOIN domain.repos AS r ON r.id = s.base_repo_id
LEFT JOIN answers AS a ON a.project_name = s.project_name AND a.pull_request_id = s.id
ORDER BY s.seconds DESC NULLS LAST, s.project_name, s.id
