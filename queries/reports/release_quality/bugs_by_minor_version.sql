-- How are the fixed bugs spread over minor versions?
-- Grain: one row per repository and minor version
-- Dashboard: GitHub Release Quality and Contribution Analysis, 1. Bug Distribution [Minor Versions]
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: type varchar[] = BUG   issue types that are bugs
-- Note: the minor version is the tag's first two numbers, v1.4.2 being v1.4.x; DevLake keeps the third, too, and counts
-- a bug once for each tag and pair.

WITH versions AS (
    SELECT DISTINCT
        r.name AS repository,
        concat(regexp_replace(replace(t.name, 'refs/tags/', ''), '^([^0-9]*[0-9]+[.][0-9]+).*$', '\1'), '.x')
            AS version,
        d.issue_id
    FROM domain.refs_issues_diffs AS d
    INNER JOIN domain.refs AS t ON t.id = d.new_ref_id
    INNER JOIN domain.repos AS r ON r.id = d.repo_id
    INNER JOIN domain.issues AS i ON i.id = d.issue_id
    WHERE ($type IS NULL OR list_contains($type, i.type))
        AND (
            ($repo IS NULL AND $project IS NULL)
            OR d.repo_id IN (
                SELECT r.id
                FROM domain.repos AS r
                LEFT JOIN domain.project_mapping AS m ON m."table" = 'repos' AND m.row_id = r.id
                WHERE ($repo IS NULL OR list_contains($repo, r.name))
                    AND ($project IS NULL OR list_contains($project, m.project_name))
            )
        )
)

SELECT
    repository,
    version AS "minor version",
    count(*) AS bugs
FROM versions
GROUP BY repository, version
ORDER BY repository, version
