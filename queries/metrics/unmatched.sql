-- Which ids refer to nothing, so that their rows are in no figure, or in fewer than they should be?
--
-- Grain:  one row per column that refers to another table, and value that the other table does not have
-- Source: the domain tables, base.unmatched_references; which column refers to which is DevLake's data model
--
-- Rules:
-- * A column is checked only if the table that it refers to has rows: a missing table proves nothing.
-- * A deployment, pull request or incident is of the projects that have its scope (domain.project_mapping); an incident
--   may name its project itself. While there is no project at all, no scope is reported.
-- * is_expected: no mistake. A repository that was collected and that no project claims, a record of Bitbucket
--   whose parent is older than the export, a person without an account, an author that no person has as an account.
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
    WHERE id IN (SELECT i.pull_request_id FROM domain.incidents AS i)
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
    SELECT DISTINCT 'pull_requests.id' AS refers_to FROM domain.pull_requests WHERE id <> ''
    UNION
    SELECT DISTINCT 'cicd_pipelines.id' AS refers_to FROM domain.cicd_pipelines WHERE id <> ''
    UNION
    -- Checked even when the table is empty: without it there are no figures of teams, or none of deployments.
    SELECT m.refers_to
    FROM (
        VALUES ('user_accounts.user_id'), ('team_users.team_id'), ('cicd_deployment_commits.cicd_deployment_id')
    ) AS m (refers_to)
),

-- each column that refers to another; '' refers to the scope table of the row
reference_columns AS (
    SELECT *
    FROM (
        VALUES
        (
            'cicd_deployment_commits.cicd_scope_id',
            'project_mapping.row_id',
            'deployments in a scope that no project has'
        ),
        ('pull_requests.base_repo_id', 'project_mapping.row_id', 'pull requests of a repository that no project has'),
        ('incidents.scope_id', 'project_mapping.row_id', 'incidents in a scope that no project has'),
        (
            'board_issues.board_id',
            'project_mapping.row_id',
            'issues of the type INCIDENT on a board that no project has'
        ),
        ('incidents.project_name', 'projects.name', 'incidents of an unknown project'),
        (
            'projects.name',
            'project_mapping.project_name',
            'projects that project_mapping does not have, so that nothing is in them'
        ),
        ('project_mapping.row_id', '', 'rows of project_mapping for a scope that nothing is in'),
        ('project_mapping.table', 'incidents.table', 'rows of project_mapping for an unknown table'),
        ('user_accounts.account_id', 'accounts.id', 'rows of user_account_mapping for an account that nobody has'),
        ('user_accounts.user_id', 'users.id', 'rows of user_account_mapping for an unknown user'),
        ('users.id', 'user_accounts.user_id', 'users without an account in user_account_mapping'),
        ('team_users.team_id', 'teams.id', 'members of an unknown team'),
        ('team_users.user_id', 'users.id', 'members of a team that are no users'),
        ('teams.parent_id', 'teams.id', 'teams below an unknown team'),
        (
            'teams.id',
            'team_users.team_id',
            'teams without figures, because no member has an account in user_account_mapping'
        ),
        (
            'pull_requests.author_id',
            'user_accounts.account_id',
            'merged pull requests of no team: user_account_mapping lacks the author'
        ),
        ('cicd_deployment_commits.repo_id', 'repos.id', NULL),
        (
            'cicd_deployments.id',
            'cicd_deployment_commits.cicd_deployment_id',
            'deployments without a commit, which no figure counts'
        ),
        ('incidents.deployment_id', 'cicd_deployments.id', 'incidents that name an unknown deployment'),
        ('incidents.pull_request_id', 'pull_requests.id', 'incidents that name an unknown pull request'),
        ('incidents.commit_sha', 'repo_commits.commit_sha', 'incidents that name an unknown commit'),
        ('repo_commits.repo_id', 'repos.id', NULL),
        ('refs.repo_id', 'repos.id', NULL),
        ('pull_request_commits.pull_request_id', 'pull_requests.id', NULL),
        ('pull_request_comments.pull_request_id', 'pull_requests.id', NULL),
        ('pull_request_reviewers.pull_request_id', 'pull_requests.id', NULL),
        ('pull_request_issues.pull_request_id', 'pull_requests.id', NULL),
        ('pull_request_issues.issue_id', 'issues.id', NULL),
        ('issue_commits.issue_id', 'issues.id', NULL),
        ('board_issues.issue_id', 'issues.id', NULL),
        ('issue_comments.issue_id', 'issues.id', NULL),
        ('issue_changelogs.issue_id', 'issues.id', NULL),
        ('issue_assignees.issue_id', 'issues.id', NULL),
        ('incident_assignees.incident_id', 'incidents.id', NULL),
        ('cicd_tasks.pipeline_id', 'cicd_pipelines.id', NULL),
        ('cicd_pipeline_commits.pipeline_id', 'cicd_pipelines.id', NULL)
    ) AS c (link, refers_to, kind)
),

reference_values AS (
    SELECT
        'cicd_deployment_commits.cicd_scope_id' AS link,
        'cicd_scopes' AS scope_table,
        cicd_scope_id AS value,
        '' AS _raw_data_table
    FROM domain.cicd_deployment_commits
    UNION ALL
    SELECT
        'pull_requests.base_repo_id' AS link,
        'repos' AS scope_table,
        base_repo_id AS value,
        '' AS _raw_data_table
    FROM domain.pull_requests
    UNION ALL
    SELECT
        'incidents.scope_id' AS link,
        "table" AS scope_table,
        scope_id AS value,
        '' AS _raw_data_table
    FROM domain.incidents
    WHERE project_name = ''
    UNION ALL
    SELECT
        'board_issues.board_id' AS link,
        'boards' AS scope_table,
        coalesce(b.board_id, '') AS value,
        '' AS _raw_data_table
    FROM domain.issues AS i
    LEFT JOIN domain.board_issues AS b ON b.issue_id = i.id
    LEFT JOIN domain.incidents AS x ON x.id = i.id
    WHERE i.type = 'INCIDENT' AND x.id IS NULL
    UNION ALL
    SELECT
        'incidents.project_name' AS link,
        '' AS scope_table,
        project_name AS value,
        '' AS _raw_data_table
    FROM domain.incidents
    WHERE project_name <> ''
    UNION ALL
    SELECT
        'projects.name' AS link,
        '' AS scope_table,
        name AS value,
        '' AS _raw_data_table
    FROM domain.projects
    UNION ALL
    SELECT
        'project_mapping.row_id' AS link,
        "table" AS scope_table,
        row_id AS value,
        '' AS _raw_data_table
    FROM domain.project_mapping
    UNION ALL
    SELECT
        'project_mapping.table' AS link,
        '' AS scope_table,
        "table" AS value,
        '' AS _raw_data_table
    FROM domain.project_mapping
    UNION ALL
    SELECT
        'user_accounts.account_id' AS link,
        '' AS scope_table,
        account_id AS value,
        '' AS _raw_data_table
    FROM domain.user_accounts
    UNION ALL
    SELECT
        'user_accounts.user_id' AS link,
        '' AS scope_table,
        user_id AS value,
        '' AS _raw_data_table
    FROM domain.user_accounts
    UNION ALL
    SELECT
        'users.id' AS link,
        '' AS scope_table,
        id AS value,
        '' AS _raw_data_table
    FROM domain.users
    UNION ALL
    SELECT
        'team_users.team_id' AS link,
        '' AS scope_table,
        team_id AS value,
        '' AS _raw_data_table
    FROM domain.team_users
    UNION ALL
    SELECT
        'team_users.user_id' AS link,
        '' AS scope_table,
        user_id AS value,
        '' AS _raw_data_table
    FROM domain.team_users
    UNION ALL
    SELECT
        'teams.parent_id' AS link,
        '' AS scope_table,
        parent_id AS value,
        '' AS _raw_data_table
    FROM domain.teams
    WHERE parent_id <> ''
    UNION ALL
    SELECT
        'teams.id' AS link,
        '' AS scope_table,
        id AS value,
        '' AS _raw_data_table
    FROM domain.teams
    WHERE id NOT IN (SELECT above.parent_id FROM domain.teams AS above)
    UNION ALL
    SELECT
        'pull_requests.author_id' AS link,
        '' AS scope_table,
        author_id AS value,
        '' AS _raw_data_table
    FROM domain.pull_requests
    WHERE merged_date IS NOT NULL AND author_id <> '' AND author_id NOT LIKE '%:'
    UNION ALL
    SELECT
        'cicd_deployment_commits.repo_id' AS link,
        '' AS scope_table,
        repo_id AS value,
        '' AS _raw_data_table
    FROM domain.cicd_deployment_commits
    WHERE repo_id <> ''
    UNION ALL
    SELECT
        'cicd_deployments.id' AS link,
        '' AS scope_table,
        id AS value,
        _raw_data_table
    FROM domain.cicd_deployments
    UNION ALL
    SELECT
        'incidents.deployment_id' AS link,
        '' AS scope_table,
        deployment_id AS value,
        '' AS _raw_data_table
    FROM domain.incidents
    WHERE deployment_id <> ''
    UNION ALL
    SELECT
        'incidents.pull_request_id' AS link,
        '' AS scope_table,
        pull_request_id AS value,
        '' AS _raw_data_table
    FROM domain.incidents
    WHERE pull_request_id <> ''
    UNION ALL
    SELECT
        'incidents.commit_sha' AS link,
        '' AS scope_table,
        commit_sha AS value,
        '' AS _raw_data_table
    FROM domain.incidents
    WHERE length(commit_sha) = 40
    UNION ALL
    SELECT
        'repo_commits.repo_id' AS link,
        '' AS scope_table,
        repo_id AS value,
        _raw_data_table
    FROM domain.repo_commits
    WHERE repo_id <> ''
    UNION ALL
    SELECT
        'refs.repo_id' AS link,
        '' AS scope_table,
        repo_id AS value,
        _raw_data_table
    FROM domain.refs
    WHERE repo_id <> ''
    UNION ALL
    SELECT
        'pull_request_issues.issue_id' AS link,
        '' AS scope_table,
        issue_id AS value,
        _raw_data_table
    FROM domain.pull_request_issues
    WHERE issue_id <> ''
    UNION ALL
    SELECT
        'issue_commits.issue_id' AS link,
        '' AS scope_table,
        issue_id AS value,
        _raw_data_table
    FROM domain.issue_commits
    WHERE issue_id <> ''
    UNION ALL
    SELECT
        'board_issues.issue_id' AS link,
        '' AS scope_table,
        issue_id AS value,
        _raw_data_table
    FROM domain.board_issues
    UNION ALL
    SELECT
        'issue_comments.issue_id' AS link,
        '' AS scope_table,
        issue_id AS value,
        _raw_data_table
    FROM domain.issue_comments
    UNION ALL
    SELECT
        'issue_changelogs.issue_id' AS link,
        '' AS scope_table,
        issue_id AS value,
        _raw_data_table
    FROM domain.issue_changelogs
    UNION ALL
    SELECT
        'issue_assignees.issue_id' AS link,
        '' AS scope_table,
        issue_id AS value,
        _raw_data_table
    FROM domain.issue_assignees
    UNION ALL
    SELECT
        'incident_assignees.incident_id' AS link,
        '' AS scope_table,
        incident_id AS value,
        _raw_data_table
    FROM domain.incident_assignees
),

counts AS (
    SELECT
        link,
        scope_table,
        value,
        _raw_data_table,
        count(*) AS n
    FROM reference_values
    GROUP BY link, scope_table, value, _raw_data_table
    UNION ALL
    SELECT
        link,
        '' AS scope_table,
        value,
        _raw_data_table,
        cast(sum(n) AS bigint) AS n
    FROM base.unmatched_references
    GROUP BY link, value, _raw_data_table
),

links AS (
    SELECT
        v.link,
        CASE WHEN c.refers_to = '' THEN v.scope_table ELSE c.refers_to END AS refers_to,
        CASE WHEN c.refers_to = 'project_mapping.row_id' THEN v.scope_table || ' ' || v.value ELSE v.value END AS id,
        v.value,
        v._raw_data_table,
        v.n
    FROM counts AS v
    INNER JOIN reference_columns AS c ON c.link = v.link
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
    coalesce(
        r.kind,
        split_part(c.link, '.', 1) || ' of unknown ' || split_part(c.refers_to, '.', 1)
    ) AS kind,
    c.is_expected,
    cast(c.n AS bigint) AS n,
    m.name AS nearest
FROM counted AS c
INNER JOIN reference_columns AS r ON r.link = c.link
LEFT JOIN near AS m ON m.link = c.link AND m.refers_to = c.refers_to AND m.value = c.value
