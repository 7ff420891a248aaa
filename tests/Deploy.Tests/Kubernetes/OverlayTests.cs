using System.Globalization;
using k8s.Models;
using Ndif.Deploy.Tests.Support;
using Ndif.Server;

namespace Ndif.Deploy.Tests.Kubernetes;

/// <summary>Every overlay renders, its objects have no unknown fields, and what they name exists.</summary>
public sealed class OverlayTests
{
    /// <summary>The Secrets that an operator creates (docs/operating/kubernetes.md), with their keys.</summary>
    private static readonly Dictionary<string, string[]> _operatorSecrets =
        new() { ["ndif-redis"] = ["connection"], ["ndif-operator-key"] = ["key"] };

    public static TheoryData<string> Overlays => RenderedOverlay.Names;

    [Fact]
    public void TheOverlays_AreThoseOfTheDocuments() =>
        Assert.Equal(["cpu", "development", "gpu", "keda"], Overlays.Select(row => row.Data));

    [Theory, MemberData(nameof(Overlays))]
    public async Task EveryObject_IsOfTheNamespace_AndHasAName(string name)
    {
        RenderedOverlay overlay = await RenderedOverlay.RenderAsync(name);
        Assert.Contains(overlay.Workloads, workload => workload.Name == "ndif-gateway");
        Assert.Contains(overlay.Workloads, workload => workload.Name == "ndif-worker");
        Assert.All(overlay.Objects, o => Assert.NotEmpty(o.Metadata.Name));
        Assert.All(overlay.Objects.Where(o => o is not V1Namespace), o => Assert.Equal("ndif", o.Metadata.NamespaceProperty));
        Assert.Equal(overlay.Objects.Count, overlay.Objects.Select(o => (o.Kind, o.Metadata.Name)).Distinct().Count());
    }

    [Theory, MemberData(nameof(Overlays))]
    public async Task Selectors_MatchPods_AndPortsExist(string name)
    {
        RenderedOverlay overlay = await RenderedOverlay.RenderAsync(name);
        Assert.All(overlay.Workloads.Where(w => w.Selector is not null), w => Assert.True(w.IsSelectedBy(w.Selector!), w.Name));
        foreach (V1Service service in overlay.All<V1Service>())
        {
            Workload[] targets = [.. overlay.Workloads.Where(w => w.IsSelectedBy(service.Spec.Selector))];
            Assert.True(targets.Length == 1, service.Metadata.Name);
            Assert.All(service.Spec.Ports,
                port => Assert.True(targets[0].HasPort(port.TargetPort.Value), $"{service.Metadata.Name} {port.Name}"));
        }
        foreach (V1PodDisruptionBudget budget in overlay.All<V1PodDisruptionBudget>())
            Assert.Contains(overlay.Workloads, w => w.IsSelectedBy(budget.Spec.Selector));
        foreach (V1NetworkPolicy policy in overlay.All<V1NetworkPolicy>().Where(p => p.Spec.PodSelector.MatchLabels is { Count: > 0 }))
        {
            Workload target = Assert.Single(overlay.Workloads, w => w.IsSelectedBy(policy.Spec.PodSelector));
            foreach (V1NetworkPolicyPort port in (policy.Spec.Ingress ?? []).SelectMany(rule => rule.Ports ?? []))
                Assert.True(target.HasPort(port.Port.Value), $"{policy.Metadata.Name} {port.Port.Value}");
            foreach (V1NetworkPolicyPeer peer in (policy.Spec.Ingress ?? []).SelectMany(rule => rule.FromProperty ?? [])
                .Where(peer => peer.PodSelector is not null && peer.NamespaceSelector is null))
                Assert.Contains(overlay.Workloads, w => w.IsSelectedBy(peer.PodSelector));
        }
        foreach (Workload workload in overlay.Workloads)
            foreach (V1TopologySpreadConstraint spread in workload.Pod.TopologySpreadConstraints ?? [])
                Assert.True(workload.IsSelectedBy(spread.LabelSelector), workload.Name);
    }

    /// <summary>The gateways refuse jobs before Redis refuses commands.</summary>
    [Fact]
    public async Task TheQueueOfTheDevelopmentOverlay_FitsIntoHalfOfItsRedis()
    {
        RenderedOverlay overlay = await RenderedOverlay.RenderAsync("development");
        const string Megabytes = "mb";
        string maxMemory = NdifCommandLine.Value(overlay.FindWorkload("ndif-redis").Arguments, "--maxmemory")!;
        Assert.EndsWith(Megabytes, maxMemory, StringComparison.Ordinal);
        Assert.InRange(ReadGatewayOptions(overlay).TotalQueueBytes, 1,
            (long.Parse(maxMemory[..^Megabytes.Length], CultureInfo.InvariantCulture) << 20) / 2);
    }

    /// <summary>The gateways refuse results and uploads before the disk is full: a tenth is for what is being written.</summary>
    [Theory, MemberData(nameof(Overlays))]
    public async Task TheBlobs_FitIntoTheirVolume(string name)
    {
        RenderedOverlay overlay = await RenderedOverlay.RenderAsync(name);
        V1PersistentVolumeClaim data = Assert.Single(overlay.All<V1PersistentVolumeClaim>(), claim => claim.Metadata.Name == "ndif-data");
        long size = data.Spec.Resources.Requests["storage"].ToInt64();
        Assert.InRange(ReadGatewayOptions(overlay).TotalBlobBytes, size / 2, size / 10 * 9);
    }

    [Theory, MemberData(nameof(Overlays))]
    public async Task SecretsConfigMapsAndClaims_Exist(string name)
    {
        RenderedOverlay overlay = await RenderedOverlay.RenderAsync(name);
        Dictionary<string, ICollection<string>> secrets = _operatorSecrets.ToDictionary(s => s.Key, s => (ICollection<string>)s.Value);
        foreach (V1Secret secret in overlay.All<V1Secret>()) secrets[secret.Metadata.Name] = secret.Data.Keys;
        string[] maps = [.. overlay.All<V1ConfigMap>().Select(map => map.Metadata.Name)],
            claims = [.. overlay.All<V1PersistentVolumeClaim>().Select(claim => claim.Metadata.Name)],
            accounts = [.. overlay.All<V1ServiceAccount>().Select(account => account.Metadata.Name)];
        foreach (Workload workload in overlay.Workloads)
        {
            foreach (V1EnvVar variable in workload.Container.Env ?? [])
            {
                if (variable.ValueFrom?.SecretKeyRef is { } reference)
                    Assert.Contains(reference.Key, Assert.Contains(reference.Name, secrets.AsReadOnly()));
                if (workload.IsNdif) NdifCommandLine.CheckVariable(variable.Name);
            }
            foreach (V1Volume volume in workload.Pod.Volumes ?? [])
            {
                if (volume.ConfigMap is { } map) Assert.Contains(map.Name, maps);
                if (volume.PersistentVolumeClaim is { } claim) Assert.Contains(claim.ClaimName, claims);
                if (volume.Secret is { } secret) Assert.Contains(secret.SecretName, secrets.Keys);
            }
            string[] volumes = [.. (workload.Pod.Volumes ?? []).Select(volume => volume.Name)];
            Assert.All(workload.Container.VolumeMounts ?? [], mount => Assert.True(
                volumes.Contains(mount.Name) || overlay.All<V1StatefulSet>().Any(s => s.Metadata.Name == workload.Name
                    && s.Spec.VolumeClaimTemplates.Any(c => c.Metadata.Name == mount.Name)), $"{workload.Name} {mount.Name}"));
            if (workload.Pod.ServiceAccountName is { } account) Assert.Contains(account, accounts);
        }
    }

    /// <summary>Passwords come from the operator. The overlay for development has some that are not secret.</summary>
    [Theory, MemberData(nameof(Overlays))]
    public async Task NoSecret_IsInTheRepository(string name)
    {
        RenderedOverlay overlay = await RenderedOverlay.RenderAsync(name);
        Assert.Equal(name == "development" ? 2 : 0, overlay.All<V1Secret>().Count());
    }

    /// <summary>The arguments are those of the tool, and the files that they name are mounted and valid.</summary>
    [Theory, MemberData(nameof(Overlays))]
    public async Task Arguments_AreKnownToTheTool(string name)
    {
        RenderedOverlay overlay = await RenderedOverlay.RenderAsync(name);
        foreach (Workload workload in overlay.Workloads.Where(w => w.IsNdif))
        {
            NdifCommandLine.Parse(workload.Arguments);
            if (NdifCommandLine.Value(workload.Arguments, "--config") is { } config)
            {
                using var folder = new TempFolder();
                NdifCommandLine.ReadConfig(folder.Write("ndif.json", MountedFile(overlay, workload, config)));
            }
        }
        Workload sync = overlay.FindWorkload("ndif-models-sync");
        using var models = new TempFolder();
        Assert.NotEmpty(Ndif.Cli.Deploying.ModelsFile.Read(models.Write("models.yaml", MountedFile(overlay, sync, sync.Arguments[2]))));
        Uri host = new(NdifCommandLine.Value(sync.Arguments, "--host")!);
        Assert.Contains(overlay.All<V1Service>(), s => s.Metadata.Name == host.Host && s.Spec.Ports.Any(p => p.Port == host.Port));
    }

    [Theory, MemberData(nameof(Overlays))]
    public async Task Probes_AskWhatTheProductServes(string name)
    {
        RenderedOverlay overlay = await RenderedOverlay.RenderAsync(name);
        foreach (string workload in (string[])["ndif-gateway", "ndif-worker"])
        {
            V1Container container = overlay.FindWorkload(workload).Container;
            string ready = workload == "ndif-gateway" ? "/healthz" : "/readyz"; // ProbeTests asks running processes for these
            V1Probe[] probes = [container.StartupProbe, container.LivenessProbe, container.ReadinessProbe];
            Assert.Equal(["/livez", "/livez", ready], probes.Select(probe => probe.HttpGet.Path));
            Assert.All(probes, probe => Assert.True(overlay.FindWorkload(workload).HasPort(probe.HttpGet.Port.Value)));
        }
        Workload worker = overlay.FindWorkload("ndif-worker");
        Assert.Equal(
            NdifCommandLine.Value(worker.Arguments, "--metrics-port"),
            worker.Container.Ports.Single(port => port.Name == "monitoring").ContainerPort.ToString(CultureInfo.InvariantCulture));
    }

    /// <summary>The profile `restricted` of the Pod Security Standards, a root that is read-only, and no token of the cluster.</summary>
    [Theory, MemberData(nameof(Overlays))]
    public async Task Pods_AreRestricted(string name)
    {
        RenderedOverlay overlay = await RenderedOverlay.RenderAsync(name);
        Assert.Equal("restricted",
            Assert.Single(overlay.All<V1Namespace>()).Metadata.Labels["pod-security.kubernetes.io/enforce"]);
        Assert.All(overlay.Workloads, workload =>
        {
            V1PodSecurityContext pod = workload.Pod.SecurityContext;
            V1SecurityContext container = workload.Container.SecurityContext;
            Assert.True(pod.RunAsNonRoot);
            Assert.True(pod.RunAsUser > 0);
            Assert.Equal("RuntimeDefault", pod.SeccompProfile.Type);
            Assert.False(container.AllowPrivilegeEscalation);
            Assert.True(container.ReadOnlyRootFilesystem);
            Assert.Equal(["ALL"], container.Capabilities.Drop);
            Assert.False(workload.Pod.AutomountServiceAccountToken);
            Assert.False(workload.Pod.EnableServiceLinks);
            Assert.DoesNotContain(workload.Pod.Volumes ?? [], volume => volume.HostPath is not null);
            if (workload.IsNdif) Assert.Contains(workload.Container.VolumeMounts, mount => mount.MountPath == "/tmp");
            Assert.Matches(@":\d", workload.Container.Image); // a version, not `latest`
            Assert.NotNull(workload.Container.Resources.Requests["cpu"]);
            Assert.NotNull(workload.Container.Resources.Requests["memory"]);
            Assert.NotNull(workload.Container.Resources.Limits["memory"]);
        });
    }

    /// <summary>A pod gets the time that its process takes to stop: neither is a job cut off, nor an answer.</summary>
    [Theory, MemberData(nameof(Overlays))]
    public async Task GracePeriods_AreThoseOfTheProcesses(string name)
    {
        RenderedOverlay overlay = await RenderedOverlay.RenderAsync(name);
        Workload worker = overlay.FindWorkload("ndif-worker"), gateway = overlay.FindWorkload("ndif-gateway");
        long drain = long.Parse(NdifCommandLine.Value(worker.Arguments, "--grace-seconds")!, CultureInfo.InvariantCulture);
        Assert.InRange(drain, 0, 600); // the bound of WorkerOptions.ShutdownGracePeriod
        Assert.Equal(drain + 30, worker.Pod.TerminationGracePeriodSeconds);

        using var folder = new TempFolder();
        string config = MountedFile(overlay, gateway, NdifCommandLine.Value(gateway.Arguments, "--config")!);
        double shutdown = NdifCommandLine.ReadConfig(folder.Write("ndif.json", config)).ShutdownTime.TotalSeconds;
        Assert.InRange(shutdown, 0, 20); // after 20 s the tool ends the process
        Assert.Equal(gateway.Container.Lifecycle.PreStop.Sleep.Seconds + (long)shutdown + 5, gateway.Pod.TerminationGracePeriodSeconds);
        Assert.All((Workload[])[worker, gateway],
            w => Assert.Contains(overlay.All<V1PodDisruptionBudget>(), budget => w.IsSelectedBy(budget.Spec.Selector)));
    }

    [Fact]
    public async Task Gpu_AsksForAGpu_OnNodesThatHaveOne()
    {
        Workload worker = (await RenderedOverlay.RenderAsync("gpu")).FindWorkload("ndif-worker");
        Assert.Equal("cuda", NdifCommandLine.Value(worker.Arguments, "--device"));
        Assert.Equal("1", worker.Container.Resources.Limits["nvidia.com/gpu"].ToString());
        Assert.Equal("1", worker.Container.Resources.Requests["nvidia.com/gpu"].ToString());
        Assert.Equal("true", worker.Pod.NodeSelector["nvidia.com/gpu.present"]);
        Assert.Contains(worker.Pod.Tolerations,
            t => t.Key == "nvidia.com/gpu" && t.OperatorProperty == "Exists" && t.Effect == "NoSchedule");
        Assert.EndsWith("-cuda", worker.Container.Image, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Keda_ScalesTheWorkers_ByTheScalerOfTheGateway()
    {
        RenderedOverlay overlay = await RenderedOverlay.RenderAsync("keda");
        ScaledObject scaled = Assert.Single(overlay.All<ScaledObject>());
        Assert.Null(overlay.FindWorkload(scaled.Spec.ScaleTargetRef.Name).Replicas); // a number here would be set at each apply
        Assert.Equal(0, scaled.Spec.MinReplicaCount);
        ScalerTrigger trigger = Assert.Single(scaled.Spec.Triggers);
        Assert.Equal("external", trigger.Type);
        Uri address = new($"http://{trigger.Metadata["scalerAddress"]}");
        V1Service service = Assert.Single(overlay.All<V1Service>(),
            s => address.Host == $"{s.Metadata.Name}.{s.Metadata.NamespaceProperty}.svc.cluster.local");
        V1ServicePort port = Assert.Single(service.Spec.Ports, p => p.Port == address.Port);
        Workload gateway = Assert.Single(overlay.Workloads, w => w.IsSelectedBy(service.Spec.Selector));
        int container = gateway.Container.Ports.Single(p => p.Name == port.TargetPort.Value).ContainerPort;
        Assert.Equal($"{container}", gateway.Container.Env.Single(e => e.Name == "NDIF_Gateway__ScalerPort").Value);
        V1NetworkPolicy policy = Assert.Single(overlay.All<V1NetworkPolicy>(),
            p => (p.Spec.Ingress ?? []).Any(rule => rule.Ports.Any(allowed => allowed.Port.Value == port.TargetPort.Value)));
        Assert.All(policy.Spec.Ingress.SelectMany(rule => rule.FromProperty),
            peer => Assert.Equal("keda", peer.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"]));
    }

    [Theory, MemberData(nameof(Overlays))]
    public async Task Monitors_SelectEachPodOnce(string name)
    {
        RenderedOverlay overlay = await RenderedOverlay.RenderAsync(name);
        if (name == "development")
        {
            Assert.Empty(overlay.All<ServiceMonitor>());
            return;
        }
        ServiceMonitor gateways = Assert.Single(overlay.All<ServiceMonitor>());
        V1Service service = Assert.Single(overlay.All<V1Service>(),
            s => gateways.Spec.Selector.MatchLabels.All(
                label => s.Metadata.Labels.TryGetValue(label.Key, out string? own) && own == label.Value));
        Assert.All(gateways.Spec.Endpoints, endpoint => Assert.Contains(service.Spec.Ports, port => port.Name == endpoint.Port));
        PodMonitor workers = Assert.Single(overlay.All<PodMonitor>());
        Workload worker = Assert.Single(overlay.Workloads, w => w.IsSelectedBy(workers.Spec.Selector));
        Assert.All(workers.Spec.PodMetricsEndpoints, endpoint => Assert.True(worker.HasPort(endpoint.Port)));
    }

    /// <summary>The options with which the gateways of an overlay start.</summary>
    private static GatewayOptions ReadGatewayOptions(RenderedOverlay overlay)
    {
        Workload gateway = overlay.FindWorkload("ndif-gateway");
        using var folder = new TempFolder();
        return NdifCommandLine.ReadOptions(gateway.Arguments, folder.Write("ndif.json",
            MountedFile(overlay, gateway, NdifCommandLine.Value(gateway.Arguments, "--config")!)));
    }

    /// <summary>The text of a file of a container that a ConfigMap provides.</summary>
    private static string MountedFile(RenderedOverlay overlay, Workload workload, string path)
    {
        V1VolumeMount mount = Assert.Single(workload.Container.VolumeMounts,
            m => path.StartsWith(m.MountPath + "/", StringComparison.Ordinal));
        string map = Assert.Single(workload.Pod.Volumes, volume => volume.Name == mount.Name).ConfigMap.Name;
        return Assert.Single(overlay.All<V1ConfigMap>(), m => m.Metadata.Name == map).Data[path[(mount.MountPath.Length + 1)..]];
    }
}
