/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * The journal's section of the page.
 */

"use strict";

const SmartJournal = (() => {

/*
 * Called with each answer of data.json.  "journal" is null where the module
 * is not loaded, else { metrics, api }: the text of $smart_journal_metrics, and
 * the path of the call that lists records, null where this server has none.
 */

function update(section, journal) {
    section.hidden = journal === null;
}


return { update };

})();
