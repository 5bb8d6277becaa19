CREATE TRIGGER wallet_seal_no_update BEFORE UPDATE ON wallet_seal BEGIN SELECT RAISE(ABORT, 'wallet_seal is insert-only'); END;
CREATE TRIGGER wallet_seal_no_delete BEFORE DELETE ON wallet_seal BEGIN SELECT RAISE(ABORT, 'wallet_seal is insert-only'); END;
CREATE TRIGGER wallet_seal_segment_no_update BEFORE UPDATE ON wallet_seal_segment BEGIN SELECT RAISE(ABORT, 'wallet_seal_segment is insert-only'); END;
CREATE TRIGGER wallet_seal_segment_no_delete BEFORE DELETE ON wallet_seal_segment BEGIN SELECT RAISE(ABORT, 'wallet_seal_segment is insert-only'); END;
