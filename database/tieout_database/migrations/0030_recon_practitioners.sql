-- What a practitioner outside says of a report: detached, signed by the practitioner's own key, attached by a person.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

create table recon.practitioner_row (
    statement bigint primary key check (statement > 0),
    report bigint not null references recon.report_row (report),
    -- the practitioner's key and signature over body, and the digest of the file that holds all three
    public_key text collate "C" not null,
    signature text collate "C" not null,
    body text not null,
    digest bytea not null unique check (octet_length(digest) = 32),
    -- who attached it, and what they signed
    actor text collate "C" not null,
    attached_at timestamptz not null default clock_timestamp(),
    attached_body text not null,
    attached_signature text collate "C" not null,
    entry bigint not null references audit.entry_row (entry)
);
create index practitioner_row_report on recon.practitioner_row (report, statement);

-- Whether nobody who ever worked in these books, and no report, has used a key.
create function recon.is_outside(key text) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select not exists (select from access.person_row p where p.public_key = $1)
       and not exists (select from recon.report_signature_row s where s.public_key = $1)
$$;

-- Whoever writes here, and however: the issuer makes no statement about itself.
create function recon.refuse_practitioner() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
    if not recon.is_outside(new.public_key) then
        raise exception 'the key % works in these books: a practitioner is none of the issuer''s', new.public_key
            using errcode = 'restrict_violation';
    end if;
    return new;
end $$;
create trigger refuse_practitioner before insert on recon.practitioner_row
    for each row execute function recon.refuse_practitioner();

do $$
begin
    call recon.make_append_only('recon.practitioner_row'::regclass);
end $$;

-- outside: its key still belongs to nobody here; else it is shown nowhere.
create view recon.practitioner_statements as
select p.statement, p.report, p.public_key, p.signature, p.body, encode(p.digest, 'hex') as sha256, p.actor,
       p.attached_at, p.attached_body, p.attached_signature, p.entry, recon.is_outside(p.public_key) as outside
from recon.practitioner_row p;
