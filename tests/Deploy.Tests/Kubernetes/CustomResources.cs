using k8s;
using k8s.Models;

namespace Ndif.Deploy.Tests.Kubernetes;

// The fields of the custom resources that the overlays use, named as in the API references of the Prometheus operator
// (monitoring.coreos.com/v1) and of KEDA (keda.sh/v1alpha1). KubernetesClient has no types for them.

public abstract class CustomResource : IKubernetesObject<V1ObjectMeta>
{
    public string ApiVersion { get; set; } = "";
    public string Kind { get; set; } = "";
    public V1ObjectMeta Metadata { get; set; } = new();
}

public sealed class ServiceMonitor : CustomResource
{
    public ServiceMonitorSpec Spec { get; set; } = new();
}

public sealed class ServiceMonitorSpec
{
    public V1LabelSelector Selector { get; set; } = new();
    public List<MonitoredEndpoint> Endpoints { get; set; } = [];
}

public sealed class MonitoredEndpoint
{
    public string Port { get; set; } = "";
    public string Path { get; set; } = "";
    public string Interval { get; set; } = "";
}

public sealed class PodMonitor : CustomResource
{
    public PodMonitorSpec Spec { get; set; } = new();
}

public sealed class PodMonitorSpec
{
    public V1LabelSelector Selector { get; set; } = new();
    public List<MonitoredEndpoint> PodMetricsEndpoints { get; set; } = [];
}

public sealed class PrometheusRule : CustomResource
{
    public RuleFile Spec { get; set; } = new();
}

/// <summary>A file of rules of Prometheus, and the specification of a PrometheusRule.</summary>
public sealed class RuleFile
{
    public List<RuleGroup> Groups { get; set; } = [];
}

public sealed class RuleGroup
{
    public string Name { get; set; } = "";
    public List<Rule> Rules { get; set; } = [];
}

public sealed class Rule
{
    public string? Record { get; set; }
    public string? Alert { get; set; }
    public string Expr { get; set; } = "";
    public string? For { get; set; }
    public SortedDictionary<string, string> Labels { get; set; } = new(StringComparer.Ordinal);
    public SortedDictionary<string, string> Annotations { get; set; } = new(StringComparer.Ordinal);
}

public sealed class ScaledObject : CustomResource
{
    public ScaledObjectSpec Spec { get; set; } = new();
}

public sealed class ScaledObjectSpec
{
    public ScaleTarget ScaleTargetRef { get; set; } = new();
    public int MinReplicaCount { get; set; }
    public int MaxReplicaCount { get; set; }
    public int PollingInterval { get; set; }
    public int CooldownPeriod { get; set; }
    public ScalerFallback? Fallback { get; set; }
    public AdvancedScaling? Advanced { get; set; }
    public List<ScalerTrigger> Triggers { get; set; } = [];
}

public sealed class ScaleTarget
{
    public string Name { get; set; } = "";
}

public sealed class ScalerFallback
{
    public int FailureThreshold { get; set; }
    public int Replicas { get; set; }
}

public sealed class AdvancedScaling
{
    public AutoscalerConfig? HorizontalPodAutoscalerConfig { get; set; }
}

public sealed class AutoscalerConfig
{
    public V2HorizontalPodAutoscalerBehavior? Behavior { get; set; }
}

public sealed class ScalerTrigger
{
    public string Type { get; set; } = "";
    public Dictionary<string, string> Metadata { get; set; } = [];
}
