package manual

import "testing"

// The commands of api.md print what it says.
func TestAPI(t *testing.T) {
	t.Parallel()
	install(t).run("api.md")
}
