using Google.Protobuf.WellKnownTypes;
using Ndif.Protocol;

namespace Ndif.Queue.Rules;

/// <summary>What may be wanted, and by which name: the same for every implementation.</summary>
public static class DeploymentRules
{
    private const int MaxNameLength = 256, MaxReplicas = 1000;

    /// <summary>A worker that was started with a model keeps it, whoever else holds it.</summary>
    public static DateTimeOffset AlwaysInUse { get; } = new(9999, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>A copy for keeping.</summary>
    /// <exception cref="NdifException">BAD_ARGUMENT.</exception>
    internal static Deployment ValidateAndCopy(Deployment deployment, DateTimeOffset now)
    {
        if (deployment.Model is not { Length: > 0 } || deployment.GetName() is not { Length: <= MaxNameLength } name
            || name.Any(c => char.IsWhiteSpace(c) || char.IsControl(c)))
            throw QueueErrors.BadDeployment($"`{deployment.Model}` cannot be deployed.", "Name a model by its id or folder, without blanks, in up to 256 characters.");
        if (deployment.Replicas is 0 or > MaxReplicas)
            throw QueueErrors.BadDeployment($"{deployment.Replicas} replicas are not possible.", $"Ask for 1 to {MaxReplicas}; evict a model to have none.");
        Deployment copy = deployment.Clone();
        copy.Changed = now.ToTimestamp();
        return copy;
    }
}
