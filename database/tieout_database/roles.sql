-- name: create_roles
do $$
declare
    role text;
    schema text;
    relation record;
    routine record;
    written text;
begin
    foreach role in array array['tieout_owner', 'tieout_writer', 'tieout_reader', 'tieout_auditor', 'tieout_desk'] loop
        if not exists (select from pg_roles where rolname = role) then
            execute format('create role %I nologin', role);
        end if;
    end loop;
    -- Who owns a table could drop its triggers: so nobody who logs in owns one.
    execute format('grant tieout_owner to %I', current_user);
    execute format('grant create on database %I to tieout_owner', current_database());
    foreach schema in array array['ledger', 'recon', 'access', 'audit'] loop
        if to_regnamespace(schema) is null then
            continue;
        end if;
        execute format('alter schema %I owner to tieout_owner', schema);
        for relation in
            select c.oid::regclass as name, c.relkind from pg_class c
            where c.relnamespace = to_regnamespace(schema) and c.relkind in ('r', 'p', 'v')
        loop
            execute format('alter %s %s owner to tieout_owner',
                case relation.relkind when 'v' then 'view' else 'table' end, relation.name);
        end loop;
        for routine in
            select p.oid::regprocedure as name, p.prokind from pg_proc p where p.pronamespace = to_regnamespace(schema)
        loop
            execute format('alter %s %s owner to tieout_owner',
                case routine.prokind when 'p' then 'procedure' else 'function' end, routine.name);
        end loop;
        execute format('grant usage on schema %I to tieout_writer, tieout_reader, tieout_auditor, tieout_desk', schema);
        execute format('grant execute on all functions in schema %I to tieout_writer, tieout_reader, tieout_auditor, '
            'tieout_desk', schema);
        for relation in
            select c.oid::regclass as name, c.relkind from pg_class c
            -- partitions come and go, and are reached through their table
            where c.relnamespace = to_regnamespace(schema) and c.relkind in ('r', 'p', 'v') and not c.relispartition
        loop
            -- the desk serves bundles and restates periods, which are made of all rows
            execute format('grant select on %s to tieout_auditor, tieout_desk', relation.name);
            if relation.relkind = 'v' then
                execute format('grant select on %s to tieout_reader, tieout_writer', relation.name);
            else
                execute format('grant select, insert on %s to tieout_writer', relation.name);
            end if;
        end loop;
    end loop;
    -- All that the desk and its people write: a new table is not the desk's until it stands here.
    foreach written in array array[
        'access.login_row', 'access.session_row', 'access.session_end_row', 'recon.break_action_row',
        'recon.period_row', 'recon.period_action_row', 'recon.control_acknowledgement_row'] loop
        if to_regclass(written) is not null then
            execute format('grant insert on %s to tieout_desk', to_regclass(written));
        end if;
    end loop;
    if to_regclass('public.tieout_migration') is not null then
        grant select on public.tieout_migration to tieout_writer, tieout_reader, tieout_auditor, tieout_desk;
    end if;
    if to_regprocedure('ledger.ensure_partition(bigint)') is not null then
        -- it creates tables with its owner's rights: who only reads has no use for it
        revoke execute on function ledger.ensure_partition(bigint) from public, tieout_reader, tieout_auditor, tieout_desk;
        grant execute on function ledger.ensure_partition(bigint) to tieout_writer;
    end if;
    if to_regclass('audit.entry_row') is not null then
        -- one way into the log, for those who write: an entry of one's own making would not be chained
        revoke insert on audit.entry_row from tieout_writer;
        revoke execute on function audit.append(text, text, text, text) from public, tieout_reader, tieout_auditor;
        grant execute on function audit.append(text, text, text, text) to tieout_writer, tieout_desk;
    end if;
    if to_regclass('recon.load_bodies') is not null then
        -- a custodian's own files are for those who audit them
        revoke select on recon.load_bodies from tieout_reader;
    end if;
    if to_regclass('ledger.writer') is not null then
        grant update on ledger.writer to tieout_writer;
        grant delete on ledger.provisional_row to tieout_writer;
    end if;
    if to_regclass('recon.control_state') is not null then
        grant update on recon.control_state, recon.control_receiver, recon.control_condition to tieout_writer;
    end if;
    if to_regclass('recon.history_head') is not null then
        -- derived, and made again by each run
        grant delete on recon.history_head, recon.history_chunk to tieout_writer;
    end if;
    if to_regclass('ledger.endpoint_standing') is not null then
        grant delete on ledger.endpoint_standing to tieout_writer;
        -- it empties evidence: for who acts as the owner, after the files were verified
        revoke execute on function ledger.detach_evidence(bigint, bigint)
            from public, tieout_writer, tieout_reader, tieout_auditor, tieout_desk;
    end if;
end $$;
