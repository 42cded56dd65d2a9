# read when the Makefile has been written: a changed file of the live page makes
# its C anew

cat << END                                                    >> $NGX_MAKEFILE

$NGX_OBJS/ngx_http_smart_pages.c:	$ngx_smart_page_deps
	$(echo $ngx_smart_pages) > $NGX_OBJS/ngx_http_smart_pages.c.new
	mv $NGX_OBJS/ngx_http_smart_pages.c.new $NGX_OBJS/ngx_http_smart_pages.c

END
