using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Ndif.Workbench.Sessions;

namespace Ndif.Workbench.Tests;

/// <summary>The sessions of a workbench are bounded, in all and by key, and end when they are not used.</summary>
public sealed class SessionLimitTests(WorkbenchService service, ITestOutputHelper output) : BrowserTest(service, output)
{
    private readonly WorkbenchOptions _options = new() { Gateway = service.Gateway, Port = 0 };

    [Fact]
    public void ANewSession_DisplacesTheOneWithoutAKeyThatWasNotUsedForTheLongestTime()
    {
        var time = new SetTime();
        using var sessions = new SessionStore(_options, time);
        string withKey = sessions.Create()!;
        sessions.Find(withKey)!.SetKey("key");
        List<string> without = [];
        for (int i = 1; i < SessionStore.MaxSessions; i++)
        {
            time.Advance(TimeSpan.FromSeconds(1));
            without.Add(sessions.Create()!);
        }
        Assert.NotNull(sessions.Find(without[0])); // it is used again
        Assert.NotNull(sessions.Create());
        Assert.Equal(SessionStore.MaxSessions, sessions.Count);
        Assert.Null(sessions.Find(without[1]));
        foreach (string kept in (string[])[withKey, without[0], without[2]]) Assert.NotNull(sessions.Find(kept));
    }

    [Fact]
    public void ASessionThatIsNotUsed_Ends_WithItsKey()
    {
        var time = new SetTime();
        using var sessions = new SessionStore(_options, time);
        string id = sessions.Create()!, other = sessions.Create()!;
        sessions.Find(id)!.SetKey("key");
        time.Advance(SessionStore.IdleTime);
        Assert.NotNull(sessions.Find(other));
        time.Advance(TimeSpan.FromSeconds(1));
        sessions.RemoveIdle();
        Assert.Equal(1, sessions.Count);
        Assert.Null(sessions.Find(id));
    }

    [Fact]
    public async Task AFullWorkbench_SaysSo()
    {
        await using WebApplication workbench = WorkbenchHost.Build(_options);
        await workbench.StartAsync(Cancel);
        SessionStore sessions = workbench.Services.GetRequiredService<SessionStore>();
        for (int i = 0; i < SessionStore.MaxSessions; i++) sessions.Find(sessions.Create())!.SetKey($"key {i}");
        using var client = new HttpClient();
        using var request = new HttpRequestMessage(HttpMethod.Get, WorkbenchHost.GetAddress(workbench));
        request.Headers.Add("Accept", "text/html");
        using HttpResponseMessage response = await client.SendAsync(request, Cancel);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, response.StatusCode);
        Assert.Contains("This workbench has 1000 sessions", await response.Content.ReadAsStringAsync(Cancel), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AKeyInManyBrowsers_IsRefusedInOneMore_WithWhatToDo()
    {
        await using WebApplication workbench = WorkbenchHost.Build(_options);
        await workbench.StartAsync(Cancel);
        SessionStore sessions = workbench.Services.GetRequiredService<SessionStore>();
        WorkbenchSession[] others = [.. Enumerable.Range(0, SessionStore.MaxSessionsPerKey).Select(_ => sessions.Find(sessions.Create())!)];
        foreach (WorkbenchSession other in others) Assert.True(sessions.TrySetKey(other, Service.Key));
        Assert.True(sessions.TrySetKey(others[0], Service.Key)); // it has it already

        await OpenAsync("", WorkbenchHost.GetAddress(workbench));
        Type("#key", Service.Key);
        Click("#use-key");
        await WaitForTextAsync(".problem", "This key is in use in 20 other browsers");
        others[0].SetKey(null);
        Type("#key", Service.Key);
        Click("#use-key");
        await WaitForTextAsync("#gateway", "Connected");
    }

    private sealed class SetTime : TimeProvider
    {
        private DateTimeOffset _now = DateTimeOffset.UnixEpoch;

        public override DateTimeOffset GetUtcNow() => _now;

        public void Advance(TimeSpan span) => _now += span;
    }
}
