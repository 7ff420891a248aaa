using System.Diagnostics.Metrics;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.RegularExpressions;
using k8s.Models;
using Ndif.Deploy.Tests.Kubernetes;
using Ndif.Deploy.Tests.Support;

namespace Ndif.Deploy.Tests.Metrics;

/// <summary>Rules, dashboards and their documents use the metrics that a running gateway and a running worker serve.</summary>
public sealed partial class MetricNameTests(DeployedService service) : IClassFixture<DeployedService>
{
    /// <summary>Metrics of Prometheus itself and of the kubelet.</summary>
    private static readonly string[] _otherMetrics = ["up", "kubelet_volume_stats_available_bytes", "kubelet_volume_stats_capacity_bytes"];

    private static readonly RuleFile _rules =
        Yaml.Read<RuleFile>(File.ReadAllText(RepositoryFolder.PathOf("deploy/prometheus/rules.yml")));

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task RulesAndDashboards_UseMetricsThatAreServed()
    {
        Rule[] rules = [.. _rules.Groups.SelectMany(g => g.Rules)];
        HashSet<string> served = await ReadServedMetricsAsync(), recorded = [.. rules.Select(rule => rule.Record).OfType<string>()];
        List<string> expressions = [.. rules.Select(rule => rule.Expr), .. DashboardExpressions()];
        string[] unknown =
        [
            .. expressions.SelectMany(expression => Metric().Matches(expression).Select(m => m.Value))
                .Where(name => !recorded.Contains(name) && !served.Contains(name)
                    && !served.Contains(Regex.Replace(name, "_(bucket|sum|count)$", "")))
                .Distinct(),
        ];
        Assert.True(unknown.Length == 0,
            $"{string.Join(", ", unknown)} is not among\n{string.Join('\n', served.Order(StringComparer.Ordinal))}");
        Assert.All(recorded, name => Assert.Contains(expressions, e => e.Contains(name, StringComparison.Ordinal)));
        // whatever has no name of this service is a metric of Prometheus or of the kubelet
        string others = string.Join(' ', expressions.Select(e => Metric().Replace(Quoted().Replace(e, ""), "")));
        Assert.All(
            Word().Matches(others).Select(m => m.Value)
                .Where(word => word.Contains('_') && word is not ("histogram_quantile" or "last_over_time")),
            word => Assert.Contains(word, _otherMetrics));
    }

    /// <summary>Names in docs/operating/watching.md, which operators copy into queries of their own.</summary>
    [Fact]
    public async Task TheDocument_NamesMetricsThatAreServed()
    {
        HashSet<string> served = await ReadServedMetricsAsync();
        string document = File.ReadAllText(RepositoryFolder.PathOf("docs/operating/watching.md"));
        string[] named = [.. Metric().Matches(document).Select(m => m.Value).Distinct()
            .Where(name => !name.StartsWith("ndif:", StringComparison.Ordinal))];
        Assert.NotEmpty(named);
        Assert.All(named, name => Assert.Contains(name, served));
    }

    /// <summary>The reference has a row for each metric, and none for others.</summary>
    [Fact]
    public async Task TheReference_HasEveryMetric()
    {
        string[] rows = [.. MetricRow().Matches(File.ReadAllText(RepositoryFolder.PathOf("docs/reference/metrics.md")))
            .Select(m => m.Groups[1].Value)];
        IEnumerable<string> own = (await ReadServedMetricsAsync()) // without those of the library
            .Where(name => name.StartsWith("ndif_", StringComparison.Ordinal));
        Assert.Equal(own.Order(StringComparer.Ordinal), rows.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Rules_AreValid_AndDoWhatTheirTestsSay()
    {
        SkipWithoutPromtool();
        await RunPromtoolAsync("check", "rules", RepositoryFolder.PathOf("deploy/prometheus/rules.yml"));
        await RunPromtoolAsync("check", "config", RepositoryFolder.PathOf("deploy/prometheus/prometheus.yml"));
        await RunPromtoolAsync("test", "rules", RepositoryFolder.PathOf("deploy/prometheus/rules.test.yml"));
    }

    [Fact]
    public async Task TheExpressionsOfDashboards_AreValid()
    {
        SkipWithoutPromtool();
        using var folder = new TempFolder();
        string rules = string.Join('\n', DashboardExpressions().Select((expression, i) =>
            $"  - {{ record: 'panel:{i}', expr: '{expression.Replace("'", "''", StringComparison.Ordinal)}' }}"));
        await RunPromtoolAsync("check", "rules", folder.Write("panels.yml", $"groups:\n- name: panels\n  rules:\n{rules}\n"));
    }

    /// <summary>The Prometheus operator gets the same rules as a Prometheus without it.</summary>
    [Fact]
    public async Task ThePrometheusRule_HasTheRulesOfTheFile()
    {
        PrometheusRule rendered = Assert.Single((await RenderedOverlay.RenderAsync("cpu")).All<PrometheusRule>());
        Assert.Equal(JsonSerializer.Serialize(_rules), JsonSerializer.Serialize(rendered.Spec));
    }

    [Fact]
    public void EveryAlert_HasASummary_ASeverity_AndASectionOfTheRunbook()
    {
        string[] headings = [.. File.ReadAllLines(RepositoryFolder.PathOf("docs/operating/runbook.md"))
            .Where(line => line.StartsWith("## Ndif", StringComparison.Ordinal)).Select(line => line[3..])];
        Rule[] alerts = [.. _rules.Groups.SelectMany(g => g.Rules).Where(rule => rule.Alert is not null)];
        Assert.Equal(alerts.Select(alert => alert.Alert!), headings);
        Assert.All(alerts, alert =>
        {
            Assert.Contains(alert.Labels["severity"], (string[])["critical", "warning", "info"]);
            Assert.NotEmpty(alert.Annotations["summary"]);
            Assert.Equal($"docs/operating/runbook.md#{alert.Alert!.ToLowerInvariant()}", alert.Annotations["runbook_url"]);
        });
    }

    [Fact]
    public async Task TheDashboard_IsInAConfigMapThatGrafanaFinds()
    {
        V1ConfigMap map = Assert.Single((await RenderedOverlay.RenderAsync("cpu")).All<V1ConfigMap>(),
            m => m.Metadata.Labels?.ContainsKey("grafana_dashboard") == true);
        using JsonDocument dashboard = JsonDocument.Parse(map.Data["ndif.json"]);
        JsonElement[] panels = [.. dashboard.RootElement.GetProperty("panels").EnumerateArray()];
        Assert.Equal(panels.Length, panels.Select(panel => panel.GetProperty("id").GetInt32()).Distinct().Count());
        Assert.All(panels, panel => Assert.NotEmpty(panel.GetProperty("targets").EnumerateArray()));
    }

    /// <summary>
    /// The names in /metrics of both processes after a job, and those of instruments that nothing has happened for yet. The name of the
    /// latter is formed as it is for the former.
    /// </summary>
    private async Task<HashSet<string>> ReadServedMetricsAsync()
    {
        (ChildProcess worker, Uri monitoring) = await service.StartWorkerAsync($"m{Guid.NewGuid():N}");
        var llm = new LanguageModel(DeployedService.Model, remote: Backend.At(service.Gateway.Grpc.ToString(), service.Key));
        using (Trace trace = llm.Trace("The Eiffel Tower is in the city of"))
        {
            llm.LmHead.Output.Save();
            await trace.RunAsync(Cancel);
        }
        string text = await DeployedService.Http.GetStringAsync(new Uri(service.Gateway.Http, "/metrics"), Cancel)
            + await DeployedService.Http.GetStringAsync(new Uri(monitoring, "/metrics"), Cancel);
        await worker.TerminateAsync();
        HashSet<string> served = [.. TypeLine().Matches(text).Select(m => m.Groups[1].Value)], declared = DeclaredInstruments();
        Assert.Contains("ndif_queue_waiting", served);
        Assert.True(served.Intersect(declared).Count() > 5, string.Join(' ', declared)); // the names are formed alike
        served.UnionWith(declared);
        return served;
    }

    private static HashSet<string> DeclaredInstruments()
    {
        HashSet<string> names = [];
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (instrument.Meter.Name.StartsWith("Ndif.", StringComparison.Ordinal))
                    names.Add(Regex.Replace($"{instrument.Meter.Name}_{instrument.Name}", "[^A-Za-z0-9]", "_").ToLowerInvariant());
            },
        };
        listener.Start();
        foreach (Type telemetry in (Type[])[typeof(Queue.Telemetry), typeof(Server.Telemetry), typeof(Worker.Telemetry)])
            RuntimeHelpers.RunClassConstructor(telemetry.TypeHandle);
        return names;
    }

    private static IEnumerable<string> DashboardExpressions()
    {
        string file = RepositoryFolder.PathOf("deploy/kubernetes/components/monitoring/ndif.json");
        using JsonDocument dashboard = JsonDocument.Parse(File.ReadAllText(file));
        return [.. dashboard.RootElement.GetProperty("panels").EnumerateArray()
            .SelectMany(panel => panel.GetProperty("targets").EnumerateArray())
            .Select(target => target.GetProperty("expr").GetString()!)];
    }

    private static void SkipWithoutPromtool() =>
        Assert.SkipWhen(ProgramPath.Find("promtool") is null, "There is no promtool on the path.");

    private static async Task RunPromtoolAsync(params string[] arguments)
    {
        await using ChildProcess promtool = ChildProcess.Start("promtool", "promtool", arguments);
        Assert.True(await promtool.WaitForExitAsync() == 0, promtool.FormatOutput());
    }

    [GeneratedRegex(@"\bndif[_:][a-z0-9_:]+")]
    private static partial Regex Metric();

    [GeneratedRegex("^# TYPE (\\S+) ", RegexOptions.Multiline)]
    private static partial Regex TypeLine();

    [GeneratedRegex(@"^\| `(\w+)` \|", RegexOptions.Multiline)]
    private static partial Regex MetricRow();

    [GeneratedRegex("\"[^\"]*\"")]
    private static partial Regex Quoted();

    [GeneratedRegex(@"\b[a-z_]+\b")]
    private static partial Regex Word();
}
