-- How long did half of the fixed bugs take?
-- Grain: one row
-- Dashboard: GitHub Release Quality and Contribution Analysis, 5.3 Median Bug Age in Days [All History]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: type varchar[] = BUG   issue types that are bugs
-- Note: DevLake's query says 80th percentile, takes the upper median of all repositories whatever the choice, and none
-- at all when there is one bug; the median and the 80th percentile are here.

WITH bugs AS (
    SELECT
        i.id,
        i.lead_time_minutes
    FROM domain.issues AS i
    WHERE i.status = 'DONE'
        AND ($type IS NULL OR list_contains($type, i.type))
        AND (
            ($repo IS NULL AND $project IS NULL)
            OR i.id IN (
                SELECT bi.issue_id
                FROM domain.board_issues AS bi
                INNER JOIN domain.boards AS b ON b.id = bi.board_id
                LEFT JOIN domain.project_mapping AS m ON m."table" = 'boards' AND m.row_id = b.id
                WHERE ($repo IS NULL OR list_contains($repo, b.name))
                    AND ($project IS NULL OR list_contains($project, m.project_name))
            )
        )
)

SELECT
    count(lead_time_minutes) AS "fixed bugs",
    round(median(lead_time_minutes) / 1440.0, 1) AS "median days",
    round(percentile_cont(0.8) WITHIN GROUP (ORDER BY lead_time_minutes) / 1440.0, 1) AS "80th percentile days"
FROM bugs
