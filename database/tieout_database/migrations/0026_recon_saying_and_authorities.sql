-- What files of the business say, told apart from their bytes. Whom the issuer's authorities over mints belong to.

set local lock_timeout = '30s';
set local statement_timeout = '1h';

-- What a file says: a digest a record, for whoever asks whether another file says it again.
create table recon.load_saying_row (
    load bigint primary key references recon.load_row (load),
    digests bytea[] not null
);
create trigger refuse_truncate before truncate on recon.load_saying_row execute function recon.refuse_change();
create trigger refuse_change before update or delete on recon.load_saying_row
    for each row execute function recon.refuse_change();

-- Whether a file is, as evidence, one that was used: the same file, the same bytes under another declaration, a trade,
-- a movement or a payment that the other had too, or nothing that the other did not say.
create function recon.says_again(load bigint, used bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    select $1 = $2 or exists (
        select from recon.load_row a join recon.load_row b on b.load = $2 and b.kind = a.kind
        left join recon.load_saying_row x on x.load = a.load
        left join recon.load_saying_row y on y.load = b.load
        where a.load = $1 and (
            a.sha256 = b.sha256
            or (a.kind in ('trades', 'movements', 'payments') and x.digests && y.digests)
            or (cardinality(x.digests) > 0 and x.digests <@ y.digests)))
$$;

-- Every authority that an issuer has or had over a mint, as known at a batch and up to a slot, whoever's mint it is: the
-- issuer's are the keys that ever held one over the mints given. Of each mint, kind and key the first slot.
create function ledger.issuer_authorities_known(mints text[], to_slot bigint, known_batch bigint) returns table (
    mint text, type text, authority text, from_slot bigint
) language sql stable security definer set search_path = pg_catalog, pg_temp as $$
    with fields (kind, field, type) as (values
        ('mint_open', 'mint_authority', 'mint_tokens'), ('mint_open', 'freeze_authority', 'freeze_account'),
        ('transfer_fee', 'transfer_fee_config_authority', 'transfer_fee_config'),
        ('transfer_fee', 'withdraw_withheld_authority', 'withheld_withdraw'),
        ('mint_close_authority', 'close_authority', 'close_mint'),
        ('interest_rate', 'rate_authority', 'interest_rate'),
        ('permanent_delegate', 'delegate', 'permanent_delegate'),
        ('confidential_policy', 'authority', 'confidential_transfer_mint'),
        ('hook', 'authority', 'transfer_hook_program_id'),
        ('confidential_fee', 'authority', 'confidential_transfer_fee_config'),
        ('metadata_pointer', 'authority', 'metadata_pointer'), ('group_pointer', 'authority', 'group_pointer'),
        ('group_member_pointer', 'authority', 'group_member_pointer'),
        ('multiplier', 'authority', 'scaled_ui_amount'), ('pausable', 'authority', 'pause'),
        ('permissioned_burn', 'authority', 'permissioned_burn'),
        ('metadata', 'new_update_authority', 'metadata_update'),
        ('group', 'update_authority', 'group_update'), ('group', 'new_update_authority', 'group_update')
    ), known as materialized (
        select c.mint, c.kind, c.details, c.slot
        from ledger.control_row c
        where c.kind in ('mint_open', 'transfer_fee', 'mint_close_authority', 'interest_rate', 'permanent_delegate',
                         'confidential_policy', 'hook', 'confidential_fee', 'metadata_pointer', 'group_pointer',
                         'group_member_pointer', 'multiplier', 'pausable', 'permissioned_burn', 'metadata', 'group',
                         'authority', 'snapshot')
          and c.account is null and c.slot <= $2 and c.batch <= $3
          and not ledger.is_retracted('control', c.slot, c.tx_index, c.step, c.child, c.mint, '', c.batch, $3)
    ), said as materialized (
        select k.mint, f.type, k.details ->> f.field as authority, k.slot from known k join fields f on f.kind = k.kind
        union all
        select k.mint, k.details ->> 'type', k.details ->> 'new', k.slot from known k where k.kind = 'authority'
        union all
        select k.mint, a.key, a.value #>> '{}', k.slot
        from known k cross join lateral jsonb_each(k.details -> 'authorities') as a (key, value)
        where k.kind = 'snapshot'
    )
    select s.mint, coalesce(s.type, 'unknown'), s.authority, min(s.slot) from said s
    where s.authority in (select o.authority from said o where o.mint = any ($1) and o.authority is not null)
    group by s.mint, coalesce(s.type, 'unknown'), s.authority
    order by s.mint collate "C", coalesce(s.type, 'unknown') collate "C", s.authority collate "C"
$$;
