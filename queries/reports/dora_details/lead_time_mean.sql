-- How long does a change take on average, or a part of it, such as from merge to production?
-- Grain: one row per project
-- Dashboard: DORA Details - Lead Time for Changes, 1 Mean lead time for changes and 1.1 to 1.4, its parts
-- alias: dora_details/lead_time_coding part=coding
-- alias: dora_details/lead_time_pickup part=pickup
-- alias: dora_details/lead_time_review part=review
-- alias: dora_details/lead_time_deploy part=deploy
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories, as workspace/slug
-- param: from timestamp = null   deployed at or after this instant
-- param: to timestamp = null   deployed before this instant
-- param: part varchar = cycle   one of: cycle, coding, pickup, review, deploy
-- Note: cycle is from the first commit to production, coding to the pull request, pickup to the first response, review
-- to the merge, deploy to production. A response is a comment, an approval or a request for changes by a person who is
-- neither the author nor a bot; without a response, pickup ends with the merge and review is 0.
-- Note: DevLake's main dashboard shows a median, this one means; here both. DevLake takes a missing time as 0, counts
-- bots and knows comments only; "devlake mean h" is its mean over the pull requests that it considers deployed.
WITH changes AS (
    SELECT
        p.project_name,
        CASE $part
            WHEN 'coding' THEN p.coding_seconds
            WHEN 'pickup' THEN p.pickup_seconds
            WHEN 'review' THEN p.review_seconds + p.merge_seconds
            WHEN 'deploy' THEN p.deploy_seconds
            ELSE p.lead_time_seconds
        END AS seconds
    FROM dora.project_pr_metrics AS p
    WHERE p.exclusion_reason IS NULL AND p.lead_time_seconds IS NOT NULL
        AND ($project IS NULL OR list_contains($project, p.project_name))
        AND ($repo IS NULL OR p.repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
        AND ($from IS NULL OR p.deployed_date >= $from)
        AND ($to IS NULL OR p.deployed_date < $to)
),

figures AS (
    SELECT
        c.project_name,
        count(c.seconds) AS n,
        sum(c.seconds) / cast(nullif(count(c.seconds), 0) AS double) AS mean_seconds,
        median(cast(c.seconds AS double)) AS seconds,
        percentile_cont(0.9) WITHIN GROUP (ORDER BY cast(c.seconds AS double)) AS p90_seconds
    FROM changes AS c
    GROUP BY c.project_name
),

devlake AS (
    SELECT
        p.project_name,
        sum(
            CASE $part
                WHEN 'coding' THEN coalesce(p.pr_coding_time, 0)
                WHEN 'pickup' THEN coalesce(p.pr_pickup_time, 0)
                WHEN 'review' THEN coalesce(p.pr_review_time, 0)
                WHEN 'deploy' THEN coalesce(p.pr_deploy_time, 0)
                ELSE coalesce(p.pr_cycle_time, 0)
            END
        ) / cast(count(*) AS double) AS minutes
    FROM dora.project_pr_metrics AS p
    WHERE p.pr_deployed_date IS NOT NULL
        AND ($project IS NULL OR list_contains($project, p.project_name))
        AND ($repo IS NULL OR p.repo_id IN (SELECT r.id FROM domain.repos AS r WHERE list_contains($repo, r.name)))
        AND ($from IS NULL OR p.pr_deployed_date >= $from)
        AND ($to IS NULL OR p.pr_deployed_date < $to)
    GROUP BY p.project_name
)

SELECT
    f.project_name AS project,
    $part AS part,
    coalesce(x.n, 0) AS changes,
    round(x.mean_seconds / 360) / 10 AS "mean h",
    round(x.seconds / 360) / 10 AS "median h",
    round(x.p90_seconds / 360) / 10 AS "p90 h",
    round(d.minutes / 6) / 10 AS "devlake mean h",
    CASE WHEN f.reason IS NOT NULL THEN f.reason WHEN x.n IS NULL THEN 'no changes' ELSE '' END AS note
FROM metrics.dora AS f
LEFT JOIN figures AS x ON f.project_name = x.project_name
LEFT JOIN devlake AS d ON f.project_name = d.project_name
WHERE f.metric = 'change_lead_time' AND f.period = 'all' AND f.scope = 'project'
    AND ($project IS NULL OR list_contains($project, f.project_name))
ORDER BY f.project_name
