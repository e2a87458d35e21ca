-- What DuckDB needs before it runs these queries as DataFusion does.
SET TimeZone = 'UTC';
SET integer_division = true;
SET default_null_order = 'nulls_last_on_asc_first_on_desc';
CREATE OR REPLACE MACRO regexp_like(s, p) AS regexp_matches(s, p);
CREATE OR REPLACE MACRO to_char(t, f) AS strftime(t, f);
-- To n places: DuckDB looks at the decimal digits of a tie (7.05 is a little less, so 7.0), DataFusion multiplies (7.1).
CREATE OR REPLACE MACRO round(x) AS system.main.round(x), (x, d) AS system.main.round(x * pow(10, d)) / pow(10, d);
