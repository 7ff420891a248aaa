using Microsoft.AspNetCore.Http;

namespace Ndif.Workbench.Sessions;

/// <summary>
/// Gives each browser a session by a cookie that scripts cannot read. The tabs of a browser share it, so that a key is entered once.
/// </summary>
internal sealed class SessionMiddleware(RequestDelegate next, SessionStore sessions)
{
    private const string CookieName = "ndif-workbench";
    private static readonly object _itemKey = new();

    /// <summary>The id of the request's session.</summary>
    public static string GetSessionId(HttpContext context) => (string)context.Items[_itemKey]!;

    public Task InvokeAsync(HttpContext context)
    {
        if (!HttpMethods.IsGet(context.Request.Method) || context.WebSockets.IsWebSocketRequest
            || !context.Request.Headers.Accept.ToString().Contains("text/html", StringComparison.Ordinal)) return next(context);
        // cookies do not distinguish ports, so that two workbenches of one machine need different names
        string name = $"{CookieName}-{context.Connection.LocalPort}";
        string? id = context.Request.Cookies[name];
        if (sessions.Find(id) is null)
        {
            id = sessions.Create();
            if (id is null) return RefuseAsync(context);
            context.Response.Cookies.Append(name, id, new CookieOptions
            {
                HttpOnly = true, SameSite = SameSiteMode.Strict, Secure = context.Request.IsHttps, IsEssential = true,
            });
        }
        context.Items[_itemKey] = id;
        return next(context);
    }

    private static Task RefuseAsync(HttpContext context)
    {
        context.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        context.Response.ContentType = "text/plain; charset=utf-8";
        return context.Response.WriteAsync(
            $"This workbench has {SessionStore.MaxSessions} sessions, and cannot hold more. Load the page again later, forget the key in a "
            + "browser that does not need it, or start a workbench of your own with `ndif workbench`.", context.RequestAborted);
    }
}
