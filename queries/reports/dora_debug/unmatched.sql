-- Which names refer to nothing, and which name is nearest?
-- Grain: one row per column, missing value and table that it refers to
-- Note: All rows of metrics.unmatched. `expected`: right as it stands, such as a repository that no project claims.
-- What falls out of a figure for it is counted in metrics.coverage, without a project.
SELECT
    u.kind,
    u.value,
    u.n,
    coalesce(u.nearest, '') AS nearest,
    u.table_name || '.' || u.column_name AS "where",
    u.refers_to AS "refers to",
    u.is_expected AS expected
FROM metrics.unmatched AS u
ORDER BY u.is_expected, u.n DESC, u.kind, u.value, u.refers_to
