-- How long do the pull requests opened in a window take to be merged?
-- Grain: one row
-- Dashboard: Weekly Community Retro, Average Time to Merge of Community Pull Requests in Days [Previous Week]
-- Dashboard: Work Logs, Average PR time to merge
-- alias: weekly_community_retro/time_to_merge
-- alias: work_logs/time_to_merge authors=people
-- param: project varchar[] = null   only these projects
-- param: repo varchar[] = null   only these repositories (workspace/slug)
-- param: team varchar[] = null   only members of these teams, by name
-- param: person varchar[] = null   only these people, by name
-- param: from timestamp = null   created not before this; for a week, its Monday
-- param: to timestamp = null   created before this; for a week, the next Monday
-- param: authors varchar = all   one of: all, people; people leaves out bots and unknown accounts
-- Note: People are the accounts, under the person's name where [org] has it, or else the account's. team and person
-- imply authors=people.
-- Note: DevLake's weekly panel leaves out authors of the chosen organizations, which Bitbucket does not provide, and
-- covers the eight days from Monday to Monday. Its panel of people computes hours and shows them as minutes.
WITH people AS (
    SELECT a.id AS account_id
    FROM domain.accounts AS a
    LEFT JOIN domain.user_accounts AS ua ON ua.account_id = a.id
    LEFT JOIN domain.users AS u ON u.id = ua.user_id
    WHERE coalesce(a.is_bot, FALSE) = FALSE
        AND ($person IS NULL OR list_contains($person, coalesce(nullif(u.name, ''), a.full_name)))
        AND (
            $team IS NULL
            OR u.id IN (
                SELECT t.user_id
                FROM dora.team_members AS t
                WHERE t.team_id <> '' AND list_contains($team, t.team_name)
            )
        )
),

merged AS (
    SELECT
        CASE
            WHEN p.merged_date >= p.created_date
                THEN cast(floor(extract(EPOCH FROM p.merged_date) - extract(EPOCH FROM p.created_date)) AS bigint)
        END AS seconds
    FROM domain.pull_requests AS p
    WHERE p.merged_date IS NOT NULL
        AND ($from IS NULL OR p.created_date >= $from)
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
        AND (
            ($authors = 'all' AND $team IS NULL AND $person IS NULL)
            OR p.author_id IN (SELECT a.account_id FROM people AS a)
        )
)

SELECT
    count(*) AS merged,
    round(sum(seconds) / 86400.0 / nullif(count(seconds), 0), 1) AS "mean days",
    round(median(seconds) / 86400.0, 1) AS "median days",
    round(sum(seconds) / 3600.0 / nullif(count(seconds), 0), 1) AS "mean hours",
    round(median(seconds) / 3600.0, 1) AS "median hours"
FROM merged
