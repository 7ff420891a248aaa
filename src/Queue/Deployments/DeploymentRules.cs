using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;

namespace Ndif.Queue;

/// <summary>What may be wanted, and by which name: the same for every implementation.</summary>
public static class DeploymentRules
{
    private const int LongestName = 256, MostReplicas = 1000;

    /// <summary>A worker that was started with a model keeps it, whoever else holds it.</summary>
    public static DateTimeOffset Always { get; } = new(9999, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>"id", or "id@revision": what jobs for it wait under.</summary>
    public static string NameOf(string model, string revision) => revision.Length == 0 ? model : $"{model}@{revision}";

    public static string NameOf(Deployment deployment) => NameOf(deployment.Model, deployment.Revision);

    /// <summary>A copy for keeping.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT.</exception>
    internal static Deployment Checked(Deployment deployment, DateTimeOffset now)
    {
        if (deployment.Model is not { Length: > 0 } || NameOf(deployment) is not { Length: <= LongestName } name
            || name.Any(c => char.IsWhiteSpace(c) || char.IsControl(c)))
            throw QueueErrors.BadDeployment($"`{deployment.Model}` cannot be deployed.", "Name a model by its id or folder, without blanks, in up to 256 characters.");
        if (deployment.Replicas is 0 or > MostReplicas)
            throw QueueErrors.BadDeployment($"{deployment.Replicas} replicas are not possible.", $"Ask for 1 to {MostReplicas}; evict a model to have none.");
        Deployment kept = deployment.Clone();
        kept.Changed = now.ToTimestamp();
        return kept;
    }
}
