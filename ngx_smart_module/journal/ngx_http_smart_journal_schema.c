
/*
 * Copyright (C) 2026 The ngx_smart_module authors
 *
 * $smart_journal_schema: what smart_schema adds to the document of a server
 * where smart_journal_api stands, as JSON.
 */


#include "ngx_http_smart_journal_api.h"

#include <jansson.h>


static ngx_int_t ngx_http_smart_journal_schema_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static json_t *ngx_http_smart_journal_schema(ngx_http_request_t *r);
static int ngx_http_smart_journal_schema_add(json_t *paths, json_t *calls,
    ngx_str_t *prefix, ngx_uint_t write, ngx_uint_t n);
static json_t *ngx_http_smart_journal_schema_item(json_t *call,
    ngx_uint_t write, ngx_uint_t n);
static json_t *ngx_http_smart_journal_schema_head(json_t *get);
static int ngx_http_smart_journal_schema_number(json_t *operation,
    ngx_uint_t n);
static json_t *ngx_http_smart_journal_schema_load(const char *text);
static ngx_int_t ngx_http_smart_journal_schema_path(ngx_pool_t *pool,
    ngx_str_t *name, ngx_str_t *prefix);


/* what is one for all locations; apostrophes are quotation marks */

static const char  ngx_http_smart_journal_schema_shared[] =
"{'tags':[{'name':'journal',"
    "'description':'Records of requests, and what they say'}],"
"'components':{"
"'schemas':{"
    "'JournalRecord':{'type':'object',"
        "'required':['id','timestamp','duration','target_url',"
            "'response_code','state','method','host','website','node',"
            "'attempts','winner','upstream','trace_id'],"
        "'additionalProperties':false,"
        "'properties':{"
        "'id':{'type':'string','pattern':"
            "'^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',"
            "'description':'A UUID, version 7 if made here'},"
        "'timestamp':{'type':'string','pattern':'^[0-9]{4}-[0-9]{2}-[0-9]{2}T"
            "[0-9]{2}:[0-9]{2}:[0-9]{2}[.][0-9]{6}Z$',"
            "'description':'When it began, UTC'},"
        "'duration':{'type':['number','null'],'minimum':0,"
            "'description':'Seconds; null while it is open, and if it was "
            "interrupted'},"
        "'target_url':{'type':'string',"
            "'description':'Without secrets; one that was too long ends in "
            "an ellipsis'},"
        "'response_code':{'type':['integer','null'],"
            "'description':'499 if the client left'},"
        "'state':{'type':'string',"
            "'enum':['open','complete','aborted','interrupted']},"
        "'method':{'type':['string','null']},"
        "'host':{'type':['string','null']},"
        "'website':{'type':['string','null'],"
            "'description':'Scheme and authority of the url'},"
        "'node':{'type':['string','null'],"
            "'description':'Where it was recorded'},"
        "'attempts':{'type':['integer','null'],"
            "'description':'How many upstream requests were sent'},"
        "'winner':{'type':['integer','null'],"
            "'description':'0 is the primary, 1 and up a hedge'},"
        "'upstream':{'type':['string','null']},"
        "'trace_id':{'type':['string','null']}}},"
    "'JournalNewRecord':{'type':'object',"
        "'required':['id','timestamp','duration','target_url',"
            "'response_code'],"
        "'additionalProperties':false,"
        "'properties':{"
        "'id':{'type':'string','format':'uuid'},"
        "'timestamp':{'type':['number','string'],"
            "'description':'Seconds since 1970, or as ISO 8601 has it'},"
        "'duration':{'type':'number','minimum':0,'description':'Seconds'},"
        "'target_url':{'type':'string','minLength':1,"
            "'description':'Absolute; it is stored without secrets'},"
        "'response_code':{'type':['integer','null'],'minimum':100,"
            "'maximum':599,'description':'null where no answer came'},"
        "'method':{'type':'string','default':'GET'}}},"
    "'JournalCount':{'type':'object','required':['count'],"
        "'additionalProperties':false,"
        "'properties':{"
        "'website':{'type':['string','null']},"
        "'url':{'type':['string','null'],'description':'With by=url'},"
        "'count':{'type':'integer','minimum':0}}},"
    "'JournalProblem':{'type':'object',"
        "'description':'As RFC 9457 has it',"
        "'required':['type','title','status','detail'],"
        "'properties':{"
        "'type':{'type':'string'},"
        "'title':{'type':'string'},"
        "'status':{'type':'integer'},"
        "'detail':{'type':'string'},"
        "'parameter':{'type':'string',"
            "'description':'The parameter, or member, that is wrong'}}}},"
"'parameters':{"
    "'JournalId':{'name':'id','in':'query',"
        "'description':'That record alone',"
        "'schema':{'type':'string','format':'uuid'}},"
    "'JournalLimit':{'name':'limit','in':'query',"
        "'description':'Records of a page; one that searches may have less',"
        "'schema':{'type':'integer','minimum':1,'maximum':1000,"
            "'default':100}},"
    "'JournalCursor':{'name':'cursor','in':'query',"
        "'description':'Out of the Link header of the page before',"
        "'schema':{'type':'string'}},"
    "'JournalState':{'name':'state','in':'query',"
        "'schema':{'type':'string',"
            "'enum':['open','complete','aborted','interrupted']}},"
    "'JournalCode':{'name':'code','in':'query',"
        "'description':'A status, or a class such as 5xx',"
        "'schema':{'type':'string','pattern':'^[1-5](xx|[0-9]{2})$'}},"
    "'JournalHost':{'name':'host','in':'query',"
        "'description':'The host of the url, without a port',"
        "'schema':{'type':'string'}},"
    "'JournalMethod':{'name':'method','in':'query',"
        "'schema':{'type':'string'}},"
    "'JournalUrl':{'name':'url','in':'query',"
        "'description':'A part of the url, in any case',"
        "'schema':{'type':'string'}}},"
"'responses':{"
    "'JournalList':{'description':'Records, newest first',"
        "'headers':{'Link':{'description':'The page that follows, with "
            "rel=next, if there is one','schema':{'type':'string'}}},"
        "'content':{'application/json':{'schema':{'type':'array',"
            "'items':{'$ref':'#/components/schemas/JournalRecord'}}}}},"
    "'JournalStored':{'description':'The record as it is stored',"
        "'headers':{'Location':{'schema':{'type':'string'}}},"
        "'content':{'application/json':{'schema':"
            "{'$ref':'#/components/schemas/JournalRecord'}}}},"
    "'JournalProblem':{'description':'The call failed',"
        "'content':{"
        "'application/problem+json':{'schema':"
            "{'$ref':'#/components/schemas/JournalProblem'}},"
        "'application/json':{'schema':"
            "{'$ref':'#/components/schemas/JournalProblem'}}}},"
    "'JournalBusy':{'description':'The store has no time, or is not there',"
        "'headers':{'Retry-After':{'schema':{'type':'integer'}}},"
        "'content':{'application/problem+json':{'schema':"
            "{'$ref':'#/components/schemas/JournalProblem'}}}}}}}";


#define NGX_HTTP_SMART_JOURNAL_SCHEMA_PARAMETER(name)                         \
    "{'$ref':'#/components/parameters/Journal" name "'}"

#define NGX_HTTP_SMART_JOURNAL_SCHEMA_RESPONSE(name)                          \
    "{'$ref':'#/components/responses/Journal" name "'}"

#define NGX_HTTP_SMART_JOURNAL_SCHEMA_FILTERS                                 \
    NGX_HTTP_SMART_JOURNAL_SCHEMA_PARAMETER("State") ","                      \
    NGX_HTTP_SMART_JOURNAL_SCHEMA_PARAMETER("Code") ","                       \
    NGX_HTTP_SMART_JOURNAL_SCHEMA_PARAMETER("Host") ","                       \
    NGX_HTTP_SMART_JOURNAL_SCHEMA_PARAMETER("Method") ","                     \
    NGX_HTTP_SMART_JOURNAL_SCHEMA_PARAMETER("Url")

#define NGX_HTTP_SMART_JOURNAL_SCHEMA_ERRORS                                  \
    "'400':" NGX_HTTP_SMART_JOURNAL_SCHEMA_RESPONSE("Problem") ","            \
    "'503':" NGX_HTTP_SMART_JOURNAL_SCHEMA_RESPONSE("Busy")


/* the calls, by their names below a location */

static const char  ngx_http_smart_journal_schema_calls[] =
"{'get':{"
    "'get':{'operationId':'journal_list','tags':['journal'],"
        "'summary':'Records, newest first',"
        "'parameters':["
        NGX_HTTP_SMART_JOURNAL_SCHEMA_PARAMETER("Id") ","
        NGX_HTTP_SMART_JOURNAL_SCHEMA_PARAMETER("Limit") ","
        NGX_HTTP_SMART_JOURNAL_SCHEMA_PARAMETER("Cursor") ","
        NGX_HTTP_SMART_JOURNAL_SCHEMA_FILTERS "],"
        "'responses':{"
        "'200':" NGX_HTTP_SMART_JOURNAL_SCHEMA_RESPONSE("List") ","
        "'404':" NGX_HTTP_SMART_JOURNAL_SCHEMA_RESPONSE("Problem") ","
        NGX_HTTP_SMART_JOURNAL_SCHEMA_ERRORS "}},"
    "'put':{'operationId':'journal_put','tags':['journal'],"
        "'summary':'Hands in a record; the same one may come again',"
        "'requestBody':{'required':true,'content':{'application/json':"
            "{'schema':{'$ref':'#/components/schemas/JournalNewRecord'}}}},"
        "'responses':{"
        "'200':" NGX_HTTP_SMART_JOURNAL_SCHEMA_RESPONSE("Stored") ","
        "'201':" NGX_HTTP_SMART_JOURNAL_SCHEMA_RESPONSE("Stored") ","
        "'409':" NGX_HTTP_SMART_JOURNAL_SCHEMA_RESPONSE("Problem") ","
        "'413':" NGX_HTTP_SMART_JOURNAL_SCHEMA_RESPONSE("Problem") ","
        "'422':" NGX_HTTP_SMART_JOURNAL_SCHEMA_RESPONSE("Problem") ","
        NGX_HTTP_SMART_JOURNAL_SCHEMA_ERRORS "}}},"
"'time-frame':{"
    "'get':{'operationId':'journal_time_frame','tags':['journal'],"
        "'summary':'Records of requests that were under way in a time',"
        "'parameters':["
        "{'name':'from','in':'query','required':true,"
            "'description':'As ISO 8601 has it; UTC without an offset',"
            "'schema':{'type':'string'}},"
        "{'name':'to','in':'query','required':true,"
            "'description':'Inclusive, as the other end is',"
            "'schema':{'type':'string'}},"
        NGX_HTTP_SMART_JOURNAL_SCHEMA_PARAMETER("Limit") ","
        NGX_HTTP_SMART_JOURNAL_SCHEMA_PARAMETER("Cursor") ","
        NGX_HTTP_SMART_JOURNAL_SCHEMA_FILTERS "],"
        "'responses':{"
        "'200':" NGX_HTTP_SMART_JOURNAL_SCHEMA_RESPONSE("List") ","
        NGX_HTTP_SMART_JOURNAL_SCHEMA_ERRORS "}}},"
"'frequent-website':{"
    "'get':{'operationId':'journal_frequent','tags':['journal'],"
        "'summary':'The most frequent website, or the first of them',"
        "'parameters':["
        "{'name':'top','in':'query',"
            "'description':'So many of them, as an array',"
            "'schema':{'type':'integer','minimum':1,'maximum':1000}},"
        "{'name':'by','in':'query',"
            "'schema':{'type':'string','enum':['website','url'],"
                "'default':'website'}}],"
        "'responses':{"
        "'200':{'description':'Ties are in the order of their names',"
            "'content':{'application/json':{'schema':{'oneOf':["
            "{'$ref':'#/components/schemas/JournalCount'},"
            "{'type':'array','items':"
                "{'$ref':'#/components/schemas/JournalCount'}}]}}}},"
        NGX_HTTP_SMART_JOURNAL_SCHEMA_ERRORS "}}},"
"'export':{"
    "'get':{'operationId':'journal_export','tags':['journal'],"
        "'summary':'All records, or those that match, newest first',"
        "'parameters':["
        "{'name':'format','in':'query',"
            "'schema':{'type':'string','enum':['ndjson','csv','har'],"
                "'default':'ndjson'}},"
        "{'name':'from','in':'query','schema':{'type':'string'}},"
        "{'name':'to','in':'query','schema':{'type':'string'}},"
        NGX_HTTP_SMART_JOURNAL_SCHEMA_FILTERS "],"
        "'responses':{"
        "'200':{'description':'A stream',"
            "'content':{"
            "'application/x-ndjson':{'schema':{'type':'string'}},"
            "'text/csv':{'schema':{'type':'string'}},"
            "'application/json':{'schema':{'type':'object',"
                "'description':'HAR 1.2'}}}},"
        NGX_HTTP_SMART_JOURNAL_SCHEMA_ERRORS "}}}}";


ngx_int_t
ngx_http_smart_journal_schema_add_variable(ngx_conf_t *cf)
{
    ngx_str_t             name = ngx_string("smart_journal_schema");
    ngx_http_variable_t  *var;

    var = ngx_http_add_variable(cf, &name, 0);
    if (var == NULL) {
        return NGX_ERROR;
    }

    var->get_handler = ngx_http_smart_journal_schema_variable;

    return NGX_OK;
}


static ngx_int_t
ngx_http_smart_journal_schema_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    char    *text;
    json_t  *schema;

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->escape = 0;

    schema = ngx_http_smart_journal_schema(r);

    if (schema == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    text = json_dumps(schema, JSON_COMPACT);
    json_decref(schema);

    if (text == NULL) {
        return NGX_ERROR;
    }

    v->len = ngx_strlen(text);
    v->data = ngx_pnalloc(r->pool, v->len);

    if (v->data) {
        ngx_memcpy(v->data, text, v->len);
    }

    free(text);

    return v->data ? NGX_OK : NGX_ERROR;
}


/* NULL if the server has no such location, or there is no memory */
static json_t *
ngx_http_smart_journal_schema(ngx_http_request_t *r)
{
    int                                  rc;
    json_t                              *schema, *calls, *paths;
    ngx_str_t                            prefix;
    ngx_uint_t                           i, n;
    ngx_http_core_srv_conf_t            *cscf;
    ngx_http_smart_journal_api_place_t  *api;
    ngx_http_smart_journal_main_conf_t  *jmcf;

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_smart_journal_module);
    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    if (jmcf->apis == NULL) {
        return NULL;
    }

    schema = ngx_http_smart_journal_schema_load(
                                        ngx_http_smart_journal_schema_shared);
    calls = ngx_http_smart_journal_schema_load(
                                        ngx_http_smart_journal_schema_calls);
    paths = json_object();
    api = jmcf->apis->elts;
    rc = (schema && calls) ? 0 : -1;

    for (i = 0, n = 0; rc == 0 && i < jmcf->apis->nelts; i++) {

        if (api[i].cscf != cscf) {
            continue;
        }

        rc = ngx_http_smart_journal_schema_path(r->pool, &api[i].name, &prefix)
             == NGX_OK ? 0 : -1;

        if (rc == 0) {
            rc = ngx_http_smart_journal_schema_add(paths, calls, &prefix,
                                                   api[i].write, ++n);
        }
    }

    json_decref(calls);

    if (rc == 0 && n) {
        rc = json_object_set(schema, "paths", paths);
    }

    json_decref(paths);

    if (rc != 0 || n == 0) {
        json_decref(schema);
        return NULL;
    }

    return schema;
}


static int
ngx_http_smart_journal_schema_add(json_t *paths, json_t *calls,
    ngx_str_t *prefix, ngx_uint_t write, ngx_uint_t n)
{
    int          rc;
    u_char       path[NGX_HTTP_SMART_JOURNAL_API_PATH], *last;
    json_t      *call;
    const char  *name;

    json_object_foreach(calls, name, call) {

        last = ngx_slprintf(path, path + sizeof(path) - 1, "%V/%s", prefix,
                            name);
        *last = '\0';

        rc = json_object_set_new(paths, (char *) path,
                      ngx_http_smart_journal_schema_item(call, write, n));

        if (rc != 0) {
            return rc;
        }
    }

    return 0;
}


static json_t *
ngx_http_smart_journal_schema_item(json_t *call, ngx_uint_t write,
    ngx_uint_t n)
{
    int      rc;
    json_t  *item, *get;

    item = json_deep_copy(call);
    get = json_object_get(item, "get");

    rc = json_object_set_new(item, "head",
                             ngx_http_smart_journal_schema_head(get));

    if (!write) {
        (void) json_object_del(item, "put");
    }

    if (rc == 0) {
        rc = ngx_http_smart_journal_schema_number(get, n);
    }

    if (rc == 0) {
        rc = ngx_http_smart_journal_schema_number(
                                        json_object_get(item, "head"), n);
    }

    if (rc == 0 && json_object_get(item, "put")) {
        rc = ngx_http_smart_journal_schema_number(
                                        json_object_get(item, "put"), n);
    }

    if (rc != 0) {
        json_decref(item);
        return NULL;
    }

    return item;
}


/* what GET is without bodies */
static json_t *
ngx_http_smart_journal_schema_head(json_t *get)
{
    json_t      *head, *id, *response;
    const char  *status;

    head = json_deep_copy(get);
    id = json_sprintf("%s_head",
                      json_string_value(json_object_get(get, "operationId")));

    if (json_object_set_new(head, "operationId", id) != 0) {
        json_decref(head);
        return NULL;
    }

    json_object_foreach(json_object_get(head, "responses"), status, response) {

        (void) json_object_clear(response);

        if (json_object_set_new(response, "description",
                                json_string("As GET, without the body"))
            != 0)
        {
            json_decref(head);
            return NULL;
        }
    }

    return head;
}


/* operations of a second location have names of their own */
static int
ngx_http_smart_journal_schema_number(json_t *operation, ngx_uint_t n)
{
    const char  *id;

    if (n == 1) {
        return 0;
    }

    id = json_string_value(json_object_get(operation, "operationId"));

    return json_object_set_new(operation, "operationId",
                               json_sprintf("%s_%u", id, (unsigned) n));
}


static json_t *
ngx_http_smart_journal_schema_load(const char *text)
{
    char    *copy, *p;
    json_t  *value;

    copy = strdup(text);

    if (copy == NULL) {
        return NULL;
    }

    for (p = copy; *p; p++) {
        if (*p == '\'') {
            *p = '"';
        }
    }

    value = json_loads(copy, 0, NULL);
    free(copy);

    return value;
}


/* the location as a path, without the slash at its end */
static ngx_int_t
ngx_http_smart_journal_schema_path(ngx_pool_t *pool, ngx_str_t *name,
    ngx_str_t *prefix)
{
    size_t  len;

    len = name->len;

    if (len && name->data[len - 1] == '/') {
        len--;
    }

    prefix->len = len + 2 * ngx_escape_uri(NULL, name->data, len,
                                           NGX_ESCAPE_URI);

    if (prefix->len + 32 > NGX_HTTP_SMART_JOURNAL_API_PATH) {
        return NGX_ERROR;
    }

    prefix->data = ngx_pnalloc(pool, prefix->len + 1);
    if (prefix->data == NULL) {
        return NGX_ERROR;
    }

    if (prefix->len == len) {
        ngx_memcpy(prefix->data, name->data, len);

    } else {
        (void) ngx_escape_uri(prefix->data, name->data, len, NGX_ESCAPE_URI);
    }

    return NGX_OK;
}
