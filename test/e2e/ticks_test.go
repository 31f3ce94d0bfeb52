package e2e

import "testing"

func TestGap(t *testing.T) {
	t.Parallel()
	if err := gap(map[int64]string{7: "a", 8: "b", 9: "c"}); err != nil {
		t.Errorf("gap finds %v in three seconds that follow each other", err)
	}
	if gap(map[int64]string{7: "a", 9: "c"}) == nil {
		t.Error("gap does not find the second that is missing")
	}
}
