using System.CommandLine;
using Ndif.Cli.Deploying;
using Ndif.Protocol;

namespace Ndif.Cli.Commands;

/// <summary>`ndif models sync FILE`: makes the service hold what a file says. It prints what changes, then does it.</summary>
internal static class SyncCommand
{
    public static Command Create(Func<ParseResult, Backend> getBackend)
    {
        var file = new Argument<string>("file") { Description = "A models.yaml (deploy/models.yaml is one)." };
        var prune = new Option<bool>("--prune") { Description = "Take off what the file does not have." };
        var dryRun = new Option<bool>("--dry-run") { Description = "Print what would change, and change nothing." };
        var command = new Command("sync", "Make the service hold what a file says.") { file, prune, dryRun };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            IReadOnlyList<Deployment> wanted = ModelsFile.Read(parsed.GetValue(file)!);
            Backend service = getBackend(parsed);
            SyncPlan plan = SyncPlan.Create(wanted, await Deployments.ListAsync(service, cancellationToken), parsed.GetValue(prune));
            foreach (string line in plan.Lines) Console.WriteLine(line);
            if (plan.IsEmpty) Console.WriteLine("Nothing changes.");
            if (parsed.GetValue(dryRun)) return 0;
            foreach (Deployment one in plan.Evict) await Deployments.EvictAsync(one.Model, one.Revision, null, service, cancellationToken); // they make room
            foreach (Deployment one in plan.Set)
                await Deployments.SetAsync(one.Model, one.Revision, one.Pinned, (int)one.Replicas, ModelsFile.ToDType(one.Dtype), service, cancellationToken);
            return 0;
        });
        return command;
    }
}
