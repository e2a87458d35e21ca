-- Which rows have no match, because the id that they name does not exist?
--
-- Grain:  one row per kind, with its three most frequent values
-- Source: metrics.unmatched
WITH ranked AS (
    SELECT
        *,
        row_number() OVER (
            PARTITION BY table_name, column_name, kind, is_expected
            ORDER BY CASE WHEN value = '' THEN 1 ELSE 0 END, n DESC, value, refers_to
        ) AS place
    FROM metrics.unmatched
)

SELECT
    '' AS repository,
    kind || ' (' || table_name || '.' || column_name || '): '
    || string_agg(
        CASE WHEN value = '' THEN 'none named' ELSE '`' || value || '`' END
        || coalesce(' (nearest known: `' || nearest || '`)', ''),
        ', ' ORDER BY place NULLS FIRST
    ) FILTER (WHERE place <= 3)
    || CASE WHEN count(*) > 3 THEN ' and ' || cast(count(*) - 3 AS varchar) || ' more' ELSE '' END AS kind,
    sum(n) AS n,
    is_expected
FROM ranked
GROUP BY table_name, column_name, kind, is_expected
