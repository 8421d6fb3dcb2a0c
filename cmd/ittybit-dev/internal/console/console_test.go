package console_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestConsole_showsADeliveryWithoutAReload(t *testing.T) {
	b := start(t, nil)
	p := b.live("")
	p.waitText("main", "No deliveries yet")
	b.statuses <- 503
	id := b.send(completed("nsfw"))
	p.wait(`document.querySelectorAll(".row").length === 1`)
	assert.Equal(t, []string{id}, p.ids())
	p.waitText(".row", "200") // the second attempt
	p.press(".row")
	p.waitText(".timeline", "Attempt 2")
	p.waitText(".steps", "Accept it")
	assert.Contains(t, p.text(".timeline"), "Waited")
}
