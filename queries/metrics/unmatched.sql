-- Which ids refer to nothing, so that their rows are in no figure, or in fewer than they should be?
--
-- Grain:  one row per column that refers to another table, and value that the other table does not have
-- Source: the domain tables; which column refers to which is DevLake's data model
--
-- Rules:
-- * A column is looked at while the table that it refers to has rows: a table that nobody brought refutes nothing.
-- * A deployment, pull request or incident is of the projects that have its scope (domain.project_mapping); an incident
--   may name its project itself. While there is no project at all, nothing is outside of one.
-- * is_expected: right as it stands. A repository that was collected and that no project claims, a record of Bitbucket
--   whose parent is older than the export, a person without an account, an author whom nobody has as an account.
-- * nearest is the known name with the smallest edit distance, whole or at its end, so that acme/web finds
--   bitbucket:BitbucketRepo:1:acme/web. Only names that people write have one, and of a column the ten most frequent
--   values that are not expected.
WITH scopes AS (
    SELECT
        'repos' AS scope_table,
        id
    FROM domain.repos
    UNION
    SELECT
        'cicd_scopes' AS scope_table,
        id
    FROM domain.cicd_scopes
    UNION
    SELECT
        'boards' AS scope_table,
        id
    FROM domain.boards
),

used_scopes AS (
    SELECT
        scope_table,
        id
    FROM scopes
    UNION
    SELECT
        'repos' AS scope_table,
        base_repo_id AS id
    FROM domain.pull_requests
    UNION
    SELECT
        'repos' AS scope_table,
        repo_id AS id
    FROM domain.cicd_deployment_commits
    UNION
    SELECT
        'repos' AS scope_table,
        repo_id AS id
    FROM domain.repo_commits
    UNION
    SELECT
        'cicd_scopes' AS scope_table,
        cicd_scope_id AS id
    FROM domain.cicd_deployment_commits
    UNION
    SELECT
        'cicd_scopes' AS scope_table,
        cicd_scope_id AS id
    FROM domain.cicd_pipelines
    UNION
    SELECT
        'boards' AS scope_table,
        board_id AS id
    FROM domain.board_issues
    UNION
    SELECT
        "table" AS scope_table,
        scope_id AS id
    FROM domain.incidents
),

-- what an id may be, and how people write it, where they do
known AS (
    SELECT
        'projects.name' AS refers_to,
        name AS id,
        name
    FROM domain.projects
    UNION ALL
    SELECT
        'projects.name' AS refers_to,
        project_name AS id,
        project_name AS name
    FROM domain.project_mapping
    UNION ALL
    SELECT
        'project_mapping.project_name' AS refers_to,
        project_name AS id,
        project_name AS name
    FROM domain.project_mapping
    UNION ALL
    SELECT
        'project_mapping.row_id' AS refers_to,
        "table" || ' ' || row_id AS id,
        row_id AS name
    FROM domain.project_mapping
    UNION ALL
    SELECT
        'incidents.table' AS refers_to,
        scope_table AS id,
        scope_table AS name
    FROM used_scopes
    UNION ALL
    SELECT
        'incidents.table' AS refers_to,
        t.name AS id,
        t.name
    FROM (VALUES ('repos'), ('cicd_scopes'), ('boards')) AS t (name)
    UNION ALL
    SELECT
        scope_table AS refers_to,
        id,
        id AS name
    FROM used_scopes
    UNION ALL
    SELECT
        'repos.id' AS refers_to,
        id,
        id AS name
    FROM domain.repos
    UNION ALL
    SELECT
        'users.id' AS refers_to,
        id,
        id AS name
    FROM domain.users
    UNION ALL
    SELECT
        'teams.id' AS refers_to,
        id,
        id AS name
    FROM domain.teams
    UNION ALL
    SELECT
        'accounts.id' AS refers_to,
        id,
        id AS name
    FROM domain.accounts
    UNION ALL
    SELECT
        'accounts.id' AS refers_to,
        author_id AS id,
        author_id AS name
    FROM domain.pull_requests
    UNION ALL
    SELECT
        'user_accounts.account_id' AS refers_to,
        account_id AS id,
        NULL AS name
    FROM domain.user_accounts
    UNION ALL
    SELECT
        'user_accounts.user_id' AS refers_to,
        user_id AS id,
        user_id AS name
    FROM domain.user_accounts
    UNION ALL
    SELECT
        'team_users.team_id' AS refers_to,
        t.team_id AS id,
        NULL AS name
    FROM domain.team_users AS t
    INNER JOIN domain.user_accounts AS a ON a.user_id = t.user_id
    UNION ALL
    SELECT
        'pull_requests.id' AS refers_to,
        id,
        NULL AS name
    FROM domain.pull_requests
    UNION ALL
    SELECT
        'cicd_pipelines.id' AS refers_to,
        id,
        NULL AS name
    FROM domain.cicd_pipelines
    UNION ALL
    SELECT
        'cicd_deployments.id' AS refers_to,
        id,
        NULL AS name
    FROM domain.cicd_deployments
    UNION ALL
    SELECT
        'cicd_deployment_commits.cicd_deployment_id' AS refers_to,
        cicd_deployment_id AS id,
        NULL AS name
    FROM domain.cicd_deployment_commits
    UNION ALL
    SELECT
        'repo_commits.commit_sha' AS refers_to,
        commit_sha AS id,
        NULL AS name
    FROM domain.repo_commits
    WHERE commit_sha IN (SELECT i.commit_sha FROM domain.incidents AS i)
    UNION ALL
    SELECT
        'issues.id' AS refers_to,
        id,
        NULL AS name
    FROM domain.issues
    UNION ALL
    SELECT
        'issues.id' AS refers_to,
        id,
        NULL AS name
    FROM domain.incidents
    UNION ALL
    SELECT
        'incidents.id' AS refers_to,
        id,
        NULL AS name
    FROM domain.incidents
),

asked AS (
    SELECT DISTINCT refers_to FROM known WHERE id <> ''
    UNION
    SELECT DISTINCT 'repo_commits.commit_sha' AS refers_to FROM domain.repo_commits
    UNION
    -- Who brings nothing here has no figures of teams, or none of deployments.
    SELECT m.refers_to
    FROM (
        VALUES ('user_accounts.user_id'), ('team_users.team_id'), ('cicd_deployment_commits.cicd_deployment_id')
    ) AS m (refers_to)
),

links AS (
    SELECT
        'cicd_deployment_commits.cicd_scope_id' AS link,
        'project_mapping.row_id' AS refers_to,
        'cicd_scopes ' || cicd_scope_id AS id,
        cicd_scope_id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.cicd_deployment_commits
    GROUP BY cicd_scope_id
    UNION ALL
    SELECT
        'pull_requests.base_repo_id' AS link,
        'project_mapping.row_id' AS refers_to,
        'repos ' || base_repo_id AS id,
        base_repo_id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.pull_requests
    GROUP BY base_repo_id
    UNION ALL
    SELECT
        'incidents.scope_id' AS link,
        'project_mapping.row_id' AS refers_to,
        "table" || ' ' || scope_id AS id,
        scope_id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.incidents
    WHERE project_name = ''
    GROUP BY "table", scope_id
    UNION ALL
    SELECT
        'board_issues.board_id' AS link,
        'project_mapping.row_id' AS refers_to,
        'boards ' || coalesce(b.board_id, '') AS id,
        coalesce(b.board_id, '') AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.issues AS i
    LEFT JOIN domain.board_issues AS b ON b.issue_id = i.id
    LEFT JOIN domain.incidents AS x ON x.id = i.id
    WHERE i.type = 'INCIDENT' AND x.id IS NULL
    GROUP BY b.board_id
    UNION ALL
    SELECT
        'incidents.project_name' AS link,
        'projects.name' AS refers_to,
        project_name AS id,
        project_name AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.incidents
    WHERE project_name <> ''
    GROUP BY project_name
    UNION ALL
    SELECT
        'projects.name' AS link,
        'project_mapping.project_name' AS refers_to,
        name AS id,
        name AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.projects
    GROUP BY name
    UNION ALL
    SELECT
        'project_mapping.row_id' AS link,
        "table" AS refers_to,
        row_id AS id,
        row_id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.project_mapping
    GROUP BY "table", row_id
    UNION ALL
    SELECT
        'project_mapping.table' AS link,
        'incidents.table' AS refers_to,
        "table" AS id,
        "table" AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.project_mapping
    GROUP BY "table"
    UNION ALL
    SELECT
        'user_accounts.account_id' AS link,
        'accounts.id' AS refers_to,
        account_id AS id,
        account_id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.user_accounts
    GROUP BY account_id
    UNION ALL
    SELECT
        'user_accounts.user_id' AS link,
        'users.id' AS refers_to,
        user_id AS id,
        user_id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.user_accounts
    GROUP BY user_id
    UNION ALL
    SELECT
        'users.id' AS link,
        'user_accounts.user_id' AS refers_to,
        id,
        id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.users
    GROUP BY id
    UNION ALL
    SELECT
        'team_users.team_id' AS link,
        'teams.id' AS refers_to,
        team_id AS id,
        team_id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.team_users
    GROUP BY team_id
    UNION ALL
    SELECT
        'team_users.user_id' AS link,
        'users.id' AS refers_to,
        user_id AS id,
        user_id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.team_users
    GROUP BY user_id
    UNION ALL
    SELECT
        'teams.parent_id' AS link,
        'teams.id' AS refers_to,
        parent_id AS id,
        parent_id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.teams
    WHERE parent_id <> ''
    GROUP BY parent_id
    UNION ALL
    SELECT
        'teams.id' AS link,
        'team_users.team_id' AS refers_to,
        id,
        id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.teams
    WHERE id NOT IN (SELECT above.parent_id FROM domain.teams AS above)
    GROUP BY id
    UNION ALL
    SELECT
        'pull_requests.author_id' AS link,
        'user_accounts.account_id' AS refers_to,
        author_id AS id,
        author_id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.pull_requests
    WHERE merged_date IS NOT NULL AND author_id <> '' AND author_id NOT LIKE '%:'
    GROUP BY author_id
    UNION ALL
    SELECT
        'cicd_deployment_commits.repo_id' AS link,
        'repos.id' AS refers_to,
        repo_id AS id,
        repo_id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.cicd_deployment_commits
    WHERE repo_id <> ''
    GROUP BY repo_id
    UNION ALL
    SELECT
        'cicd_deployments.id' AS link,
        'cicd_deployment_commits.cicd_deployment_id' AS refers_to,
        id,
        id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.cicd_deployments
    GROUP BY id, _raw_data_table
    UNION ALL
    SELECT
        'incidents.deployment_id' AS link,
        'cicd_deployments.id' AS refers_to,
        deployment_id AS id,
        deployment_id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.incidents
    WHERE deployment_id <> ''
    GROUP BY deployment_id
    UNION ALL
    SELECT
        'incidents.pull_request_id' AS link,
        'pull_requests.id' AS refers_to,
        pull_request_id AS id,
        pull_request_id AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.incidents
    WHERE pull_request_id <> ''
    GROUP BY pull_request_id
    UNION ALL
    SELECT
        'incidents.commit_sha' AS link,
        'repo_commits.commit_sha' AS refers_to,
        commit_sha AS id,
        commit_sha AS value,
        '' AS _raw_data_table,
        count(*) AS n
    FROM domain.incidents
    WHERE length(commit_sha) = 40
    GROUP BY commit_sha
    UNION ALL
    SELECT
        'repo_commits.repo_id' AS link,
        'repos.id' AS refers_to,
        repo_id AS id,
        repo_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.repo_commits
    WHERE repo_id <> ''
    GROUP BY repo_id, _raw_data_table
    UNION ALL
    SELECT
        'refs.repo_id' AS link,
        'repos.id' AS refers_to,
        repo_id AS id,
        repo_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.refs
    WHERE repo_id <> ''
    GROUP BY repo_id, _raw_data_table
    UNION ALL
    SELECT
        'pull_request_commits.pull_request_id' AS link,
        'pull_requests.id' AS refers_to,
        pull_request_id AS id,
        pull_request_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.pull_request_commits
    GROUP BY pull_request_id, _raw_data_table
    UNION ALL
    SELECT
        'pull_request_comments.pull_request_id' AS link,
        'pull_requests.id' AS refers_to,
        pull_request_id AS id,
        pull_request_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.pull_request_comments
    GROUP BY pull_request_id, _raw_data_table
    UNION ALL
    SELECT
        'pull_request_reviewers.pull_request_id' AS link,
        'pull_requests.id' AS refers_to,
        pull_request_id AS id,
        pull_request_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.pull_request_reviewers
    GROUP BY pull_request_id, _raw_data_table
    UNION ALL
    SELECT
        'pull_request_issues.pull_request_id' AS link,
        'pull_requests.id' AS refers_to,
        pull_request_id AS id,
        pull_request_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.pull_request_issues
    GROUP BY pull_request_id, _raw_data_table
    UNION ALL
    SELECT
        'pull_request_issues.issue_id' AS link,
        'issues.id' AS refers_to,
        issue_id AS id,
        issue_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.pull_request_issues
    WHERE issue_id <> ''
    GROUP BY issue_id, _raw_data_table
    UNION ALL
    SELECT
        'issue_commits.issue_id' AS link,
        'issues.id' AS refers_to,
        issue_id AS id,
        issue_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.issue_commits
    WHERE issue_id <> ''
    GROUP BY issue_id, _raw_data_table
    UNION ALL
    SELECT
        'board_issues.issue_id' AS link,
        'issues.id' AS refers_to,
        issue_id AS id,
        issue_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.board_issues
    GROUP BY issue_id, _raw_data_table
    UNION ALL
    SELECT
        'issue_comments.issue_id' AS link,
        'issues.id' AS refers_to,
        issue_id AS id,
        issue_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.issue_comments
    GROUP BY issue_id, _raw_data_table
    UNION ALL
    SELECT
        'issue_changelogs.issue_id' AS link,
        'issues.id' AS refers_to,
        issue_id AS id,
        issue_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.issue_changelogs
    GROUP BY issue_id, _raw_data_table
    UNION ALL
    SELECT
        'issue_assignees.issue_id' AS link,
        'issues.id' AS refers_to,
        issue_id AS id,
        issue_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.issue_assignees
    GROUP BY issue_id, _raw_data_table
    UNION ALL
    SELECT
        'incident_assignees.incident_id' AS link,
        'incidents.id' AS refers_to,
        incident_id AS id,
        incident_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.incident_assignees
    GROUP BY incident_id, _raw_data_table
    UNION ALL
    SELECT
        'cicd_tasks.pipeline_id' AS link,
        'cicd_pipelines.id' AS refers_to,
        pipeline_id AS id,
        pipeline_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.cicd_tasks
    GROUP BY pipeline_id, _raw_data_table
    UNION ALL
    SELECT
        'cicd_pipeline_commits.pipeline_id' AS link,
        'cicd_pipelines.id' AS refers_to,
        pipeline_id AS id,
        pipeline_id AS value,
        _raw_data_table,
        count(*) AS n
    FROM domain.cicd_pipeline_commits
    GROUP BY pipeline_id, _raw_data_table
),

unmatched AS (
    SELECT
        l.link,
        l.refers_to,
        l.value,
        l.link IN ('users.id', 'pull_requests.author_id')
        OR starts_with(l._raw_data_table, '_raw_bitbucket')
        OR l.refers_to = 'project_mapping.row_id' AND s.id IS NOT NULL AS is_expected,
        l.n
    FROM links AS l
    INNER JOIN asked AS a ON a.refers_to = l.refers_to
    LEFT JOIN known AS k ON k.refers_to = l.refers_to AND k.id = l.id
    LEFT JOIN scopes AS s ON s.scope_table || ' ' || s.id = l.id
    WHERE k.id IS NULL
),

counted AS (
    SELECT
        link,
        refers_to,
        value,
        bool_and(is_expected) AS is_expected,
        sum(n) AS n,
        row_number()
            OVER (PARTITION BY link ORDER BY CASE WHEN value = '' THEN 1 ELSE 0 END, sum(n) DESC, value, refers_to)
            AS place
    FROM unmatched
    GROUP BY link, refers_to, value
),

distances AS (
    SELECT
        c.link,
        c.refers_to,
        c.value,
        k.name,
        levenshtein(lower(c.value), lower(k.name)) AS to_all,
        levenshtein(lower(c.value), right(lower(k.name), cast(length(c.value) AS bigint))) AS to_end
    FROM counted AS c
    INNER JOIN (
        SELECT DISTINCT
            refers_to,
            name
        FROM known WHERE name <> ''
    ) AS k ON k.refers_to = c.refers_to
    WHERE c.place <= 10 AND c.value <> '' AND NOT c.is_expected
),

near AS (
    SELECT
        link,
        refers_to,
        value,
        name
    FROM distances
    QUALIFY row_number() OVER (
            PARTITION BY link, refers_to, value ORDER BY least(to_all, to_end), to_all, name
        ) = 1
)

SELECT
    split_part(c.link, '.', 1) AS table_name,
    split_part(c.link, '.', 2) AS column_name,
    c.value,
    c.refers_to,
    CASE c.link
        WHEN 'cicd_deployment_commits.cicd_scope_id' THEN 'deployments in a scope that no project has'
        WHEN 'pull_requests.base_repo_id' THEN 'pull requests of a repository that no project has'
        WHEN 'incidents.scope_id' THEN 'incidents in a scope that no project has'
        WHEN 'board_issues.board_id' THEN 'issues of the type INCIDENT on a board that no project has'
        WHEN 'incidents.project_name' THEN 'incidents of an unknown project'
        WHEN 'projects.name' THEN 'projects that project_mapping does not have, so that nothing is in them'
        WHEN 'project_mapping.row_id' THEN 'rows of project_mapping for a scope that nothing is in'
        WHEN 'project_mapping.table' THEN 'rows of project_mapping for an unknown table'
        WHEN 'user_accounts.account_id' THEN 'rows of user_account_mapping for an account that nobody has'
        WHEN 'user_accounts.user_id' THEN 'rows of user_account_mapping for an unknown user'
        WHEN 'team_users.team_id' THEN 'members of an unknown team'
        WHEN 'team_users.user_id' THEN 'members of a team that are no users'
        WHEN 'teams.parent_id' THEN 'teams below an unknown team'
        WHEN 'incidents.deployment_id' THEN 'incidents that name an unknown deployment'
        WHEN 'incidents.pull_request_id' THEN 'incidents that name an unknown pull request'
        WHEN 'incidents.commit_sha' THEN 'incidents that name an unknown commit'
        WHEN 'users.id' THEN 'users without an account in user_account_mapping'
        WHEN 'teams.id' THEN 'teams without figures, because no member has an account in user_account_mapping'
        WHEN 'pull_requests.author_id' THEN 'merged pull requests of no team: user_account_mapping lacks the author'
        WHEN 'cicd_deployments.id' THEN 'deployments without a commit, which no figure counts'
        ELSE split_part(c.link, '.', 1) || ' of unknown ' || split_part(c.refers_to, '.', 1)
    END AS kind,
    c.is_expected,
    cast(c.n AS bigint) AS n,
    m.name AS nearest
FROM counted AS c
LEFT JOIN near AS m ON m.link = c.link AND m.refers_to = c.refers_to AND m.value = c.value
