using System.Collections.Concurrent;
using k8s;
using k8s.Models;

namespace Ndif.Deploy.Tests.Kubernetes;

/// <summary>The objects of one overlay of deploy/kubernetes, as kubectl would apply them.</summary>
internal sealed class RenderedOverlay
{
    private static readonly ConcurrentDictionary<string, Task<RenderedOverlay>> _rendered = new();

    private static readonly Dictionary<string, Type> _customTypes = new()
    {
        ["monitoring.coreos.com/v1/ServiceMonitor"] = typeof(ServiceMonitor),
        ["monitoring.coreos.com/v1/PodMonitor"] = typeof(PodMonitor),
        ["monitoring.coreos.com/v1/PrometheusRule"] = typeof(PrometheusRule),
        ["keda.sh/v1alpha1/ScaledObject"] = typeof(ScaledObject),
    };

    private RenderedOverlay(IReadOnlyList<IKubernetesObject<V1ObjectMeta>> objects)
    {
        Objects = objects;
        Workloads =
        [
            .. All<V1Deployment>().Select(d => new Workload(
                d.Metadata.Name, d.Spec.Selector, d.Spec.Template, d.Spec.Replicas, d.Metadata.Labels)),
            .. All<V1StatefulSet>().Select(s => new Workload(
                s.Metadata.Name, s.Spec.Selector, s.Spec.Template, s.Spec.Replicas, s.Metadata.Labels)),
            .. All<V1CronJob>().Select(c => new Workload(
                c.Metadata.Name, null, c.Spec.JobTemplate.Spec.Template, null, c.Metadata.Labels)),
        ];
    }

    public static TheoryData<string> Names =>
        [.. Directory.EnumerateDirectories(RepositoryFolder.PathOf("deploy/kubernetes/overlays")).Select(d => Path.GetFileName(d)!)
            .Order(StringComparer.Ordinal)];

    public IReadOnlyList<IKubernetesObject<V1ObjectMeta>> Objects { get; }

    /// <summary>Everything that starts pods.</summary>
    public IReadOnlyList<Workload> Workloads { get; }

    public IEnumerable<T> All<T>() => Objects.OfType<T>();

    public Workload FindWorkload(string name) => Assert.Single(Workloads, workload => workload.Name == name);

    /// <summary>Renders an overlay and reads every object into its type. A field that the type does not have fails.</summary>
    public static Task<RenderedOverlay> RenderAsync(string name) => _rendered.GetOrAdd(name, static async overlay =>
    {
        string text = await Support.Kubectl.RenderAsync(RepositoryFolder.PathOf($"deploy/kubernetes/overlays/{overlay}"));
        List<object> objects = KubernetesYaml.LoadAllFromString(text, _customTypes, strict: true);
        return new RenderedOverlay([.. objects.Cast<IKubernetesObject<V1ObjectMeta>>()]);
    });
}

/// <summary>A Deployment, StatefulSet or CronJob.</summary>
/// <param name="Selector">Null for a CronJob.</param>
internal sealed record Workload(
    string Name, V1LabelSelector? Selector, V1PodTemplateSpec Template, int? Replicas, IDictionary<string, string> Labels)
{
    public V1PodSpec Pod => Template.Spec;

    public V1Container Container => Assert.Single(Template.Spec.Containers);

    /// <summary>Whether the container runs the image of this repository.</summary>
    public bool IsNdif => Container.Image.StartsWith("ndif:", StringComparison.Ordinal);

    public IReadOnlyList<string> Arguments => [.. Container.Args ?? []];

    public bool HasPort(string? name) => Container.Ports?.Any(port => port.Name == name) == true;

    public bool IsSelectedBy(V1LabelSelector selector) =>
        (selector.MatchLabels ?? new Dictionary<string, string>()).All(label => HasLabel(label.Key, label.Value))
        && (selector.MatchExpressions ?? []).All(e => e.OperatorProperty == "In" && e.Values.Any(value => HasLabel(e.Key, value)));

    public bool IsSelectedBy(IDictionary<string, string> labels) => labels.All(label => HasLabel(label.Key, label.Value));

    private bool HasLabel(string key, string value) => Template.Metadata.Labels.TryGetValue(key, out string? own) && own == value;
}
