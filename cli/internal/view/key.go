package view

import (
	"fmt"
	"io"

	"github.com/nightshift/nightshift/shared/api"
)

// Keys prints a table of the keys that seal environment variables, in the order
// in which the gateway has them: how many variables and deploys each has sealed.
func Keys(w io.Writer, s Style, keys []api.SecretKey) {
	rows := make([][]string, len(keys))
	for i, key := range keys {
		use := "opens"
		if key.Seals {
			use = "seals and opens"
		}
		rows[i] = []string{key.ID, use, fmt.Sprint(key.Sealed.Variables), fmt.Sprint(key.Sealed.Deploys)}
	}
	table(w, s, []column{{"KEY", 0}, {"USE", 0}, {"VARIABLES", 0}, {"DEPLOYS", 0}}, rows)
}
