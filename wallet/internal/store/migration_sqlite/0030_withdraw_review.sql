CREATE TRIGGER withdraw_review_no_update BEFORE UPDATE ON withdraw_review BEGIN SELECT RAISE(ABORT, 'withdraw_review is insert-only'); END;
CREATE TRIGGER withdraw_review_no_delete BEFORE DELETE ON withdraw_review BEGIN SELECT RAISE(ABORT, 'withdraw_review is insert-only'); END;
