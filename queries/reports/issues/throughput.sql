-- How many issues are opened and resolved each month, by type?
-- Grain: one row per month and issue type
WITH events AS (
    SELECT
        type,
        substr(cast(created_date AS varchar), 1, 7) AS month,
        1 AS opened,
        0 AS resolved
    FROM domain.issues WHERE created_date IS NOT NULL
    UNION ALL
    SELECT
        type,
        substr(cast(resolution_date AS varchar), 1, 7),
        0,
        1
    FROM domain.issues WHERE resolution_date IS NOT NULL
)

SELECT
    month,
    type,
    sum(opened) AS opened,
    sum(resolved) AS resolved
FROM events
GROUP BY month, type
ORDER BY month, type
