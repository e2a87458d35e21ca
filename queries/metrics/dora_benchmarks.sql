-- What do DevLake's dashboards call low, medium, high and elite?
--
-- Grain:  one row per figure and report year
-- Source: DevLake's own eight rows, byte by byte
SELECT
    id,
    metric,
    low,
    medium,
    high,
    elite,
    dora_report
FROM (
    VALUES
    (
        1, 'Deployment frequency', 'Fewer than once per six months(low)',
        'Between once per month and once every 6 months(medium)', 'Between once per day and once per month(high)',
        'On-demand(elite)', '2021'
    ),
    (
        2, 'Lead time for changes', 'More than six months(low)', 'Between one week and six months(medium)',
        'Less than one week(high)', 'Less than one hour(elite)', '2021'
    ),
    (3, 'Change failure rate', '> 30%(low)', '21%-30%(medium)', '16%-20%(high)', '0-15%(elite)', '2021'),
    (
        4, 'Time to restore service', 'More than one week(low)', 'Between one day and one week(medium)',
        'Less than one day(high)', 'Less than one hour(elite)', '2021'
    ),
    (
        5, 'Deployment frequency', 'Fewer than once per month(low)',
        'Between once per week and once per month(medium)', 'Between once per day and once per week(high)',
        'On-demand(elite)', '2023'
    ),
    (
        6, 'Lead time for changes', 'More than one month(low)', 'Between one week and one month(medium)',
        'Between one day and one week(high)', 'Less than one day(elite)', '2023'
    ),
    (7, 'Change failure rate', '> 15%(low)', '10%-15%(medium)', '5%-10%(high)', '0-5%(elite)', '2023'),
    (
        8, 'Failed deployment recovery time', 'More than one week(low)', 'Between one day and one week(medium)',
        'Less than one day(high)', 'Less than one hour(elite)', '2023'
    )
) AS b (id, metric, low, medium, high, elite, dora_report)
