-- How long did the new pull requests take to be merged?
-- Grain: one row
-- Dashboard: Weekly Community Retro, Average Time to Merge of Community Pull Requests in Days [Previous Week]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this; for a week, its Monday
-- param: to timestamp = null   created before this; for a week, the next Monday
-- Note: DevLake leaves out authors of the chosen organizations; Bitbucket tells no organization, so everybody counts.
-- Note: DevLake's previous week is the eight days from Monday to Monday; here it is from `from` to before `to`.

WITH pull_requests AS (
    SELECT
        p.id,
        p.created_date,
        p.merged_date
    FROM domain.pull_requests AS p
    WHERE ($from IS NULL OR p.created_date >= $from)
        AND ($to IS NULL OR p.created_date < $to)
        AND (
            ($repo IS NULL AND $project IS NULL)
            OR p.base_repo_id IN (
                SELECT r.id
                FROM domain.repos AS r
                LEFT JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = r.id
                WHERE ($repo IS NULL OR list_contains($repo, r.name))
                    AND ($project IS NULL OR list_contains($project, m.project_name))
            )
        )
),

merged AS (
    SELECT
        id,
        CASE
            WHEN merged_date >= created_date
                THEN cast(floor(extract(EPOCH FROM merged_date) - extract(EPOCH FROM created_date)) AS bigint)
        END AS seconds
    FROM pull_requests
    WHERE merged_date IS NOT NULL
)

SELECT
    count(*) AS merged,
    round(sum(seconds) / 86400.0 / nullif(count(seconds), 0), 1) AS "mean days",
    round(median(seconds) / 86400.0, 1) AS "median days"
FROM merged
