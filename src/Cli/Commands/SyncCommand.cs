using System.CommandLine;
using Ndif.Cli.Deploying;
using Ndif.Protocol;

namespace Ndif.Cli.Commands;

/// <summary>`ndif models sync FILE`: makes the deployments of the service equal to a file. Prints the changes, then applies them.</summary>
internal static class SyncCommand
{
    public static Command Create(Func<ParseResult, Backend> getBackend)
    {
        var file = new Argument<string>("file") { Description = "A models.yaml file, such as deploy/models.yaml." };
        var prune = new Option<bool>("--prune") { Description = "Evict the models that are not in the file." };
        var dryRun = new Option<bool>("--dry-run") { Description = "Print the changes without applying them." };
        var command = new Command("sync", "Make the deployments of the service equal to a file.") { file, prune, dryRun };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            IReadOnlyList<Deployment> desired = ModelsFile.Read(parsed.GetValue(file)!);
            Backend service = getBackend(parsed);
            SyncPlan plan = SyncPlan.Create(desired, await Deployments.ListAsync(service, cancellationToken), parsed.GetValue(prune));
            foreach (string line in plan.Lines) Console.WriteLine(line);
            if (plan.IsEmpty) Console.WriteLine("Nothing changes.");
            if (parsed.GetValue(dryRun)) return 0;
            foreach (Deployment deployment in plan.Evict) // first, to free memory
                await Deployments.EvictAsync(deployment.Model, deployment.Revision, null, service, cancellationToken);
            foreach (Deployment deployment in plan.Set)
                await Deployments.SetAsync(
                    deployment.Model, deployment.Revision, deployment.Pinned, (int)deployment.Replicas,
                    ModelsFile.ToDType(deployment.Dtype), service, cancellationToken);
            return 0;
        });
        return command;
    }
}
