-- How many of the new pull requests were merged?
-- Grain: one row
-- Dashboard: Weekly Community Retro, Number and Ratio of Merged Pull Requests Created by the Community [Previous Week]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: from timestamp = null   created not before this; for a week, its Monday
-- param: to timestamp = null   created before this; for a week, the next Monday
-- Note: DevLake leaves out authors of the chosen organizations; Bitbucket provides no organization, so all authors
-- count.
-- Note: DevLake's previous week is the eight days from Monday to Monday; here it is from `from` to before `to`.

WITH pull_requests AS (
    SELECT
        p.id,
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
)

SELECT
    count(*) AS "new pull requests",
    count(merged_date) AS merged,
    round(100.0 * count(merged_date) / nullif(count(*), 0), 1) AS "merged %"
FROM pull_requests
