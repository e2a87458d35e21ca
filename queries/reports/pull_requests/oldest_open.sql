-- Which open pull requests wait longest, and for whom?
--
-- Grain:  one row per project and open pull request; project is '' for a repository in no project
-- Source: domain.pull_requests, domain.pull_request_reviewers, dora.pull_request_milestones; config.buckets for the end
--         of the collected time
--
-- Rules:
-- * Ages are counted to the end of the last collected day of the project, not to the present. "quiet days" are those
--   since the last change or comment.
-- * waits for is the first that holds: a draft; a standing request for changes; a standing approval; a response by
--   another person, no bot; none of them.
-- * Drafts come last: nobody is asked to review them yet. Bots' pull requests are left out, unless bots = true.
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: bots boolean = false   also pull requests that bots opened
-- param: n bigint = 20   how many
WITH open_requests AS (
    SELECT
        coalesce(m.project_name, '') AS project_name,
        p.id,
        p.base_repo_id,
        p.pull_request_key,
        p.title,
        p.author_name,
        p.created_date,
        p.updated_date,
        p.is_draft,
        p.comment_count,
        p.url
    FROM domain.pull_requests AS p
    LEFT JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = p.base_repo_id
    LEFT JOIN domain.accounts AS a ON a.id = p.author_id
    WHERE p.status = 'OPEN'
        AND ($bots OR coalesce(a.is_bot, FALSE) = FALSE)
        AND ($project IS NULL OR list_contains($project, m.project_name))
        AND (
            $repo IS NULL OR p.base_repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name))
        )
),

ends AS (
    SELECT
        project_name,
        max(period_end) AS ended
    FROM config.buckets
    WHERE period = 'all'
    GROUP BY project_name
    UNION ALL
    SELECT
        '' AS project_name,
        max(period_end) AS ended
    FROM config.buckets
    WHERE period = 'all'
),

reviews AS (
    SELECT
        pull_request_id,
        count(*) AS reviewers,
        count(*) FILTER (WHERE approved) AS approvals,
        count(*) FILTER (WHERE state = 'changes_requested') AS requests
    FROM domain.pull_request_reviewers
    GROUP BY pull_request_id
)

SELECT
    o.project_name AS project,
    coalesce(r.name, o.base_repo_id) AS repository,
    o.pull_request_key AS number,
    o.title,
    o.author_name AS author,
    o.created_date AS opened,
    round((extract(EPOCH FROM e.ended) - extract(EPOCH FROM o.created_date)) / 8640) / 10 AS "age days",
    round((extract(EPOCH FROM e.ended) - extract(EPOCH FROM coalesce(o.updated_date, o.created_date))) / 8640) / 10
        AS "quiet days",
    CASE
        WHEN o.is_draft THEN 'its author: a draft'
        WHEN v.requests > 0 THEN 'its author: changes were requested'
        WHEN v.approvals > 0 THEN 'the merge: it is approved'
        WHEN m.first_response_date IS NOT NULL THEN 'an approval'
        WHEN coalesce(v.reviewers, 0) = 0 THEN 'a reviewer: none is asked'
        ELSE 'the first response'
    END AS "waits for",
    coalesce(v.reviewers, 0) AS reviewers,
    coalesce(v.approvals, 0) AS approvals,
    o.comment_count AS comments,
    o.is_draft AS draft,
    o.url
FROM open_requests AS o
LEFT JOIN ends AS e ON e.project_name = o.project_name
LEFT JOIN reviews AS v ON v.pull_request_id = o.id
LEFT JOIN dora.pull_request_milestones AS m ON m.pull_request_id = o.id
LEFT JOIN domain.repos AS r ON r.id = o.base_repo_id
ORDER BY o.is_draft, o.created_date, o.project_name, o.id
LIMIT $n
