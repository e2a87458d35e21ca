-- When was each pull request begun, and when first answered?
--
-- Grain:  one row per pull request that has commits, comments or reviews
-- Source: domain.pull_request_commits, domain.pull_request_comments, domain.pull_requests, domain.accounts
--
-- Rules:
-- * The first commit is the one authored first; ties: by hash.
-- * The first review is DevLake's: the first comment or review by anyone but the author (anyone where the author is
--   unknown; a comment without an account counts as another person's). Ties: by id.
-- * A comment, approval or response of a person is neither the author's nor a bot's.
--
-- incremental: repository by pull_request_id
WITH first_commits AS (
    SELECT
        pull_request_id,
        commit_sha,
        commit_authored_date
    FROM domain.pull_request_commits
    QUALIFY row_number() OVER (
            PARTITION BY pull_request_id ORDER BY commit_authored_date NULLS LAST, commit_sha
        ) = 1
),

first_reviews AS (
    SELECT
        c.pull_request_id,
        c.id,
        c.created_date
    FROM domain.pull_request_comments AS c
    INNER JOIN domain.pull_requests AS p ON p.id = c.pull_request_id
    WHERE coalesce(p.author_id, '') = '' OR c.account_id <> p.author_id
    QUALIFY row_number() OVER (PARTITION BY c.pull_request_id ORDER BY c.created_date NULLS LAST, c.id) = 1
),

-- people's answers: neither the author's nor a bot's
answers AS (
    SELECT
        c.pull_request_id,
        c.id,
        c.created_date,
        CASE WHEN c.type = 'REVIEW' AND c.status = 'APPROVED' THEN 'approval'
            WHEN c.type = 'REVIEW' AND c.status = 'CHANGES_REQUESTED' THEN 'changes_requested'
            ELSE 'comment'
        END AS kind
    FROM domain.pull_request_comments AS c
    INNER JOIN domain.pull_requests AS p ON p.id = c.pull_request_id
    LEFT JOIN domain.accounts AS a ON a.id = c.account_id
    WHERE c.created_date IS NOT NULL
        AND c.account_id <> ''
        AND c.account_id <> p.author_id
        AND NOT coalesce(a.is_bot, FALSE)
),

first_answers AS (
    SELECT
        pull_request_id,
        kind,
        id,
        created_date
    FROM answers
    QUALIFY row_number() OVER (PARTITION BY pull_request_id, kind ORDER BY created_date, id) = 1
),

responses AS (
    SELECT
        pull_request_id,
        kind,
        created_date
    FROM answers
    QUALIFY row_number() OVER (PARTITION BY pull_request_id ORDER BY created_date, id) = 1
),

pull_requests AS (
    SELECT pull_request_id FROM first_commits
    UNION
    SELECT pull_request_id FROM first_reviews
    UNION
    SELECT pull_request_id FROM responses
)

SELECT
    p.pull_request_id,
    f.commit_sha AS first_commit_sha,
    f.commit_authored_date AS first_commit_authored_date,
    v.id AS first_review_id,
    v.created_date AS first_review_date,
    c.id AS first_human_comment_id,
    c.created_date AS first_human_comment_date,
    a.id AS first_approval_id,
    a.created_date AS first_approval_date,
    r.kind AS first_response_kind,
    r.created_date AS first_response_date
FROM pull_requests AS p
LEFT JOIN first_commits AS f ON f.pull_request_id = p.pull_request_id
LEFT JOIN first_reviews AS v ON v.pull_request_id = p.pull_request_id
LEFT JOIN first_answers AS c ON c.pull_request_id = p.pull_request_id AND c.kind = 'comment'
LEFT JOIN first_answers AS a ON a.pull_request_id = p.pull_request_id AND a.kind = 'approval'
LEFT JOIN responses AS r ON r.pull_request_id = p.pull_request_id
