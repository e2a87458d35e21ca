-- Which rows join nothing, because what they name is not there?
--
-- Grain:  one row per kind, with its most frequent value
-- Source: metrics.unmatched
WITH ranked AS (
    SELECT
        table_name, column_name, kind, is_expected, value, nearest,
        sum(n) OVER (PARTITION BY table_name, column_name, kind, is_expected) AS n,
        count(*) OVER (PARTITION BY table_name, column_name, kind, is_expected) AS n_values,
        row_number() OVER (
            PARTITION BY table_name, column_name, kind, is_expected ORDER BY n DESC, value, refers_to
        ) AS place
    FROM metrics.unmatched
)
SELECT
    '' AS repository,
    kind || ' (' || table_name || '.' || column_name || '): '
        || CASE WHEN value = '' THEN 'none is named' ELSE '`' || value || '`' END
        || coalesce(', the nearest known is `' || nearest || '`', '')
        || CASE WHEN n_values > 1 THEN ', and ' || cast(n_values - 1 AS varchar) || ' more' ELSE '' END AS kind,
    n,
    is_expected
FROM ranked
WHERE place = 1
