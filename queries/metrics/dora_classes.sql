-- Which class does DORA give to a figure?
--
-- Grain:  one row per report year, figure and class; the rows of a figure cover all its values and do not overlap
-- Source: metrics.benchmarks, of DORA's reports
--
-- Rules:
-- * A figure has the class of the band that holds it. If two bands hold it (less than one hour, less than one day), it
--   has the better class. Clusters that share one band are one class, which names them all ('medium, low').
-- * A figure between two bands has the class of the nearest; half way, the better. Where a report gives one number for a
--   cluster (5%), this is the rule for every other number.
-- * A figure of fewer than minimum_n rows has no class. Reports compare their n with it.
-- * band_lower and band_upper are the band as published: a figure outside them has the class of the nearest band.
WITH bands AS (
    SELECT
        year,
        metric,
        unit,
        text,
        lower,
        upper,
        lower_inclusive,
        upper_inclusive,
        string_agg(band, ', ' ORDER BY place NULLS FIRST) AS class,
        min(place) AS place
    FROM (
        SELECT
            *,
            CASE band WHEN 'elite' THEN 1 WHEN 'high' THEN 2 WHEN 'medium' THEN 3 ELSE 4 END AS place
        FROM metrics.benchmarks
        WHERE source = 'dora'
    ) AS b
    GROUP BY year, metric, unit, text, lower, upper, lower_inclusive, upper_inclusive
),

neighbours AS (
    SELECT
        *,
        lead(place) OVER (
            PARTITION BY year, metric ORDER BY upper NULLS LAST, lower NULLS FIRST
        ) AS next_place,
        lead(lower) OVER (
            PARTITION BY year, metric ORDER BY upper NULLS LAST, lower NULLS FIRST
        ) AS next_lower,
        lead(lower_inclusive) OVER (
            PARTITION BY year, metric ORDER BY upper NULLS LAST, lower NULLS FIRST
        ) AS next_inclusive
    FROM bands
),

limits AS (
    SELECT
        *,
        CASE WHEN next_place IS NULL THEN NULL WHEN next_lower > upper THEN (upper + next_lower) / 2 ELSE upper END
            AS class_upper,
        CASE
            WHEN next_place IS NULL THEN FALSE
            WHEN next_lower > upper THEN place < next_place
            ELSE
                upper_inclusive
                AND (place < next_place OR coalesce(next_lower = upper AND NOT next_inclusive, FALSE))
        END AS class_upper_inclusive
    FROM neighbours
)

SELECT
    year,
    metric,
    class,
    lag(class_upper) OVER (PARTITION BY year, metric ORDER BY upper NULLS LAST, lower NULLS FIRST) AS lower,
    class_upper AS upper,
    coalesce(
        NOT lag(class_upper_inclusive) OVER (PARTITION BY year, metric ORDER BY upper NULLS LAST, lower NULLS FIRST),
        FALSE
    ) AS lower_inclusive,
    class_upper_inclusive AS upper_inclusive,
    lower AS band_lower,
    upper AS band_upper,
    5 AS minimum_n,
    unit,
    text
FROM limits
