-- Which deployment caused each incident, and how strong is the evidence?
--
-- Grain:  one row per project and incident, linked or not
-- Source: domain.incidents, domain.cicd_deployment_commits; dora.commit_deployments and dora.project_pr_metrics for
--         what a deployment shipped; domain.pull_request_issues for what fixed an incident
--
-- Rules:
-- * An incident belongs to a project if its scope is mapped there, or if it names the project itself.
-- * devlake_deployment_id is DevLake's rule: the project's last successful PRODUCTION deployment, in any scope, that
--   finished before the incident began. Ties: the later start, then the id.
-- * Candidates for deployment_id are the PRODUCTION deployments that finished by five minutes after the beginning
--   (incidents are sometimes noticed during the release) and not longer before it than the project's
--   incident_window_hours, failed ones too. Evidence, best first, and within one kind the deployment that finished
--   last:
--   reference 1.0: the incident names its deployment, commit or pull request, in columns of its own or in title
--     or description (a deployment's id, a pipeline's or pull request's address, 40 hexadecimal digits; all that it
--     names). The window does not apply; a deployment in the incident's own column counts whenever it finished.
--   fix 0.9: a pull request that names the incident reverts a change that reached production first with the deployment.
--   component 0.7: the incident's component is the deployment's repository, or one whose files it changed.
--   repository 0.6: the incident's scope is the deployment's.
--   time 0.3: only the time, halved for each deployment in between: so only the last one reaches 0.3. A failed
--     outcome that is not known to have gone out (dora.deployment_chains) may not have reached production and is passed over.
-- * An incident whose component is the name of a repository is not blamed on another repository's deployment by time;
--   where the project does not have that repository, nor by the incident's scope: none of its deployments failed.
WITH incidents AS (
    SELECT
        m.project_name,
        i.id,
        i.title,
        i.description,
        i.status,
        i.created_date,
        i.resolution_date,
        trim(i.component) AS component,
        i.scope_id,
        i.deployment_id,
        i.commit_sha,
        i.pull_request_id,
        TRUE AS is_mapped
    FROM domain.incidents AS i
    INNER JOIN domain.project_mapping AS m ON m."table" = i."table" AND m.row_id = i.scope_id
    UNION ALL
    SELECT
        i.project_name,
        i.id,
        i.title,
        i.description,
        i.status,
        i.created_date,
        i.resolution_date,
        trim(i.component) AS component,
        i.scope_id,
        i.deployment_id,
        i.commit_sha,
        i.pull_request_id,
        FALSE AS is_mapped
    FROM domain.incidents AS i
    LEFT JOIN domain.project_mapping AS m
        ON m."table" = i."table" AND m.row_id = i.scope_id AND m.project_name = i.project_name
    WHERE i.project_name <> '' AND m.project_name IS NULL
),

releases AS (
    SELECT
        m.project_name,
        d.id,
        d.cicd_deployment_id,
        d.cicd_scope_id,
        d.repo_id,
        d.commit_sha,
        d.pipeline_id,
        d.url,
        d.result,
        d.started_date,
        d.finished_date
    FROM domain.cicd_deployment_commits AS d
    INNER JOIN domain.project_mapping AS m ON m."table" = 'cicd_scopes' AND m.row_id = d.cicd_scope_id
    WHERE d.environment = 'PRODUCTION' AND d.result IN ('SUCCESS', 'FAILURE')
),

deployments AS (
    SELECT
        r.*,
        coalesce(c.went_out, r.result = 'SUCCESS') AS went_out
    FROM releases AS r
    LEFT JOIN dora.deployment_chains AS c
        ON c.project_name = r.project_name AND c.deployment_commit_id = r.id AND c.commit_sha = r.commit_sha
    WHERE r.finished_date IS NOT NULL
),

repository_names AS (
    SELECT
        id,
        regexp_replace(lower(name), '^.*/', '') AS slug
    FROM domain.repos
    UNION
    SELECT
        id,
        lower(name) AS slug
    FROM domain.repos
),

-- incidents whose component is a repository, the project's own or another
named_repositories AS (
    SELECT
        i.project_name,
        i.id,
        bool_or(m.row_id IS NOT NULL) AS is_own
    FROM incidents AS i
    INNER JOIN repository_names AS n ON n.slug = lower(i.component)
    LEFT JOIN domain.project_mapping AS m
        ON m.project_name = i.project_name AND m."table" IN ('repos', 'cicd_scopes') AND m.row_id = n.id
    WHERE i.component <> ''
    GROUP BY i.project_name, i.id
),

-- what a deployment can be asked for by: any success or any that went out in the project, its scope, its components
deployment_keys AS (
    SELECT
        project_name,
        'success' AS key_kind,
        '' AS key,
        cicd_deployment_id,
        started_date,
        finished_date
    FROM deployments
    WHERE result = 'SUCCESS'
    UNION ALL
    SELECT
        project_name,
        'project' AS key_kind,
        '' AS key,
        cicd_deployment_id,
        started_date,
        finished_date
    FROM deployments
    WHERE went_out
    UNION ALL
    SELECT
        project_name,
        'scope' AS key_kind,
        repo_id AS key,
        cicd_deployment_id,
        started_date,
        finished_date
    FROM deployments
    UNION ALL
    SELECT
        project_name,
        'scope' AS key_kind,
        cicd_scope_id AS key,
        cicd_deployment_id,
        started_date,
        finished_date
    FROM deployments
    WHERE cicd_scope_id <> repo_id
    UNION ALL
    SELECT
        d.project_name,
        'component' AS key_kind,
        n.slug AS key,
        d.cicd_deployment_id,
        d.started_date,
        d.finished_date
    FROM deployments AS d
    INNER JOIN repository_names AS n ON n.id = d.repo_id
    UNION ALL
    SELECT
        d.project_name,
        'component' AS key_kind,
        lower(c.component) AS key,
        d.cicd_deployment_id,
        d.started_date,
        d.finished_date
    FROM deployments AS d
    INNER JOIN
        dora.deployment_components AS c
        ON c.project_name = d.project_name AND c.deployment_id = d.cicd_deployment_id
    WHERE c.component <> 'other'
),

questions AS (
    SELECT
        project_name,
        'success' AS key_kind,
        '' AS key,
        id AS incident_id,
        'devlake' AS question,
        created_date AS happened,
        0 AS turn
    FROM incidents
    WHERE is_mapped
    UNION ALL
    SELECT
        project_name,
        'project' AS key_kind,
        '' AS key,
        id AS incident_id,
        'time' AS question,
        created_date + interval '5 minutes' AS happened,
        2 AS turn
    FROM incidents
    UNION ALL
    SELECT
        project_name,
        'scope' AS key_kind,
        scope_id AS key,
        id AS incident_id,
        'repository' AS question,
        created_date + interval '5 minutes' AS happened,
        2 AS turn
    FROM incidents
    UNION ALL
    SELECT
        project_name,
        'component' AS key_kind,
        lower(component) AS key,
        id AS incident_id,
        'component' AS question,
        created_date + interval '5 minutes' AS happened,
        2 AS turn
    FROM incidents
    WHERE component <> ''
),

events AS (
    SELECT
        project_name,
        key_kind,
        key,
        '' AS incident_id,
        '' AS question,
        finished_date AS happened,
        1 AS turn,
        started_date,
        cicd_deployment_id,
        finished_date
    FROM deployment_keys
    UNION ALL
    SELECT
        project_name,
        key_kind,
        key,
        incident_id,
        question,
        happened,
        turn,
        NULL AS started_date,
        NULL AS cicd_deployment_id,
        NULL AS finished_date
    FROM questions
    WHERE happened IS NOT NULL
),

-- the last deployment before each question, by time alone, so that no incident is compared with every deployment
answers AS (
    SELECT
        project_name,
        incident_id,
        question,
        last_value(cicd_deployment_id IGNORE NULLS) OVER w AS cicd_deployment_id,
        last_value(finished_date IGNORE NULLS) OVER w AS finished_date
    FROM events
    WINDOW w AS (
        PARTITION BY project_name, key_kind, key
        ORDER BY
            happened NULLS FIRST, turn NULLS FIRST, started_date NULLS FIRST, cicd_deployment_id DESC NULLS LAST,
            incident_id NULLS FIRST, question NULLS FIRST
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
    )
),

texts AS (
    SELECT
        project_name,
        id,
        created_date,
        title || ' ' || description AS body
    FROM incidents
),

mentions AS (
    SELECT
        project_name,
        id,
        created_date,
        'commit' AS kind,
        commit_sha AS mention
    FROM incidents
    UNION ALL
    SELECT
        project_name,
        id,
        created_date,
        'pull request' AS kind,
        pull_request_id AS mention
    FROM incidents
    UNION ALL
    SELECT
        project_name,
        id,
        created_date,
        'commit' AS kind,
        unnest(regexp_extract_all(body, '\b[0-9a-f]{40}\b', 0)) AS mention
    FROM texts
    UNION ALL
    SELECT
        project_name,
        id,
        created_date,
        'deployment' AS kind,
        unnest(regexp_extract_all(body, 'bitbucket:BitbucketDeployment:\d+:\{[0-9a-f-]+\}', 0)) AS mention
    FROM texts
    UNION ALL
    SELECT
        project_name,
        id,
        created_date,
        'address' AS kind,
        unnest(regexp_extract_all(body, 'https?://[^\s<>()"]+pipelines[^\s<>()"]*/results/\d+', 0)) AS mention
    FROM texts
    UNION ALL
    SELECT
        project_name,
        id,
        created_date,
        'address' AS kind,
        unnest(regexp_extract_all(body, 'https?://[^\s<>()"]+/pull-requests/\d+', 0)) AS mention
    FROM texts
),

changes AS (
    SELECT
        project_name,
        id,
        attributed_deployment_commit_id
    FROM dora.project_pr_metrics
    WHERE attribution IN ('direct', 'contained')
),

reverts AS (
    SELECT
        project_name,
        id,
        unnest(string_to_array(
            coalesce(nullif(reverted_deployment_commit_ids, ''), reverted_deployment_commit_id), chr(10)
        )) AS reverted_id
    FROM dora.project_pr_metrics
),

-- what a deployment can be mentioned by
names AS (
    SELECT
        id,
        'deployment' AS kind,
        cicd_deployment_id AS mention
    FROM deployments
    UNION ALL
    SELECT
        id,
        'commit' AS kind,
        commit_sha AS mention
    FROM deployments
    UNION ALL
    SELECT
        deployment_commit_id AS id,
        'commit' AS kind,
        commit_sha AS mention
    FROM dora.commit_deployments
    UNION ALL
    SELECT
        attributed_deployment_commit_id AS id,
        'pull request' AS kind,
        id AS mention
    FROM changes
    UNION ALL
    SELECT
        c.attributed_deployment_commit_id AS id,
        'address' AS kind,
        p.url AS mention
    FROM changes AS c
    INNER JOIN domain.pull_requests AS p ON p.id = c.id
    UNION ALL
    SELECT
        id,
        'address' AS kind,
        url AS mention
    FROM deployments
    UNION ALL
    SELECT
        d.id,
        'address' AS kind,
        p.url AS mention
    FROM deployments AS d
    INNER JOIN domain.cicd_pipelines AS p ON p.id = d.pipeline_id
),

evidence AS (
    SELECT
        i.project_name,
        i.id,
        'reference' AS evidence,
        r.cicd_deployment_id,
        r.finished_date
    FROM incidents AS i
    INNER JOIN releases AS r ON r.project_name = i.project_name AND r.cicd_deployment_id = i.deployment_id
    WHERE i.deployment_id <> ''
    UNION ALL
    SELECT
        m.project_name,
        m.id,
        'reference' AS evidence,
        d.cicd_deployment_id,
        d.finished_date
    FROM mentions AS m
    INNER JOIN names AS n ON n.kind = m.kind AND n.mention = m.mention
    INNER JOIN deployments AS d ON d.project_name = m.project_name AND d.id = n.id
    WHERE m.mention <> '' AND d.finished_date <= m.created_date + interval '5 minutes'
    UNION ALL
    SELECT
        i.project_name,
        i.id,
        'fix' AS evidence,
        d.cicd_deployment_id,
        d.finished_date
    FROM incidents AS i
    INNER JOIN domain.pull_request_issues AS l ON l.issue_id = i.id
    INNER JOIN reverts AS c ON c.project_name = i.project_name AND c.id = l.pull_request_id
    INNER JOIN deployments AS d ON d.project_name = i.project_name AND d.id = c.reverted_id
    WHERE d.finished_date <= i.created_date + interval '5 minutes'
    UNION ALL
    SELECT
        a.project_name,
        a.incident_id AS id,
        a.question AS evidence,
        a.cicd_deployment_id,
        a.finished_date
    FROM answers AS a
    LEFT JOIN named_repositories AS n ON n.project_name = a.project_name AND n.id = a.incident_id
    WHERE a.cicd_deployment_id IS NOT NULL
        AND (
            a.question = 'component'
            OR (a.question = 'repository' AND coalesce(n.is_own, TRUE))
            OR (a.question = 'time' AND n.id IS NULL)
        )
),

scored AS (
    SELECT
        e.project_name,
        e.id,
        e.evidence,
        e.cicd_deployment_id,
        e.finished_date,
        CASE e.evidence WHEN 'reference' THEN 10 WHEN 'fix' THEN 9 WHEN 'component' THEN 7
            WHEN 'repository' THEN 6 ELSE 3
        END AS tenths
    FROM evidence AS e
    INNER JOIN incidents AS i ON i.project_name = e.project_name AND i.id = e.id
    LEFT JOIN config.projects AS s ON s.name = e.project_name
    WHERE e.evidence = 'reference'
        OR extract(EPOCH FROM i.created_date) - extract(EPOCH FROM e.finished_date)
        <= coalesce(s.incident_window_hours, 72) * 3600
),

best AS (
    SELECT *
    FROM scored
    QUALIFY row_number() OVER (
            PARTITION BY project_name, id
            ORDER BY tenths DESC NULLS LAST, finished_date DESC NULLS LAST, cicd_deployment_id
        ) = 1
),

before AS (
    SELECT
        project_name,
        incident_id AS id,
        max(cicd_deployment_id) FILTER (WHERE question = 'devlake') AS devlake_deployment_id,
        max(cicd_deployment_id) FILTER (WHERE question = 'time') AS last_deployment_id,
        max(cicd_deployment_id) FILTER (WHERE question = 'component') AS last_of_component_id
    FROM answers
    WHERE question IN ('devlake', 'time', 'component')
    GROUP BY project_name, incident_id
)

SELECT
    i.project_name,
    i.id AS incident_id,
    i.title,
    i.status,
    i.created_date,
    i.resolution_date,
    CASE WHEN i.resolution_date >= i.created_date
            THEN cast(
                    floor(extract(EPOCH FROM i.resolution_date)) - floor(extract(EPOCH FROM i.created_date)) AS bigint
                )
    END AS recovery_seconds,
    coalesce(b.cicd_deployment_id, '') AS deployment_id,
    coalesce(b.evidence, 'none') AS evidence,
    coalesce(b.tenths, 0) / 10.0 AS score,
    CASE WHEN i.created_date >= b.finished_date
            THEN cast(floor(extract(EPOCH FROM i.created_date)) - floor(extract(EPOCH FROM b.finished_date)) AS bigint)
    END AS age_seconds,
    CASE WHEN b.cicd_deployment_id IS NOT NULL THEN NULL
        WHEN i.created_date IS NULL THEN 'no start'
        WHEN NOT n.is_own THEN 'component elsewhere'
        WHEN n.is_own AND a.last_of_component_id IS NULL OR a.last_deployment_id IS NULL THEN 'no deployment before it'
        ELSE 'too long after'
    END AS unlinked_reason,
    coalesce(a.devlake_deployment_id, '') AS devlake_deployment_id
FROM incidents AS i
LEFT JOIN best AS b ON b.project_name = i.project_name AND b.id = i.id
LEFT JOIN before AS a ON a.project_name = i.project_name AND a.id = i.id
LEFT JOIN named_repositories AS n ON n.project_name = i.project_name AND n.id = i.id
