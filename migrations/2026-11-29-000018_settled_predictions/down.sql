DROP TRIGGER predictions_kept ON predictions;
DROP TRIGGER predictions_settled_for_good ON predictions;
DROP FUNCTION refuse_change_of_the_settled_prediction();
