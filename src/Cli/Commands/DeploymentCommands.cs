using System.CommandLine;
using Ndif.Cli.Deploying;
using Ndif.Protocol;

namespace Ndif.Cli.Commands;

/// <summary>
/// `ndif models deploy|evict|pin|unpin|scale|drain|list|sync`: manages the deployments of the service. All but list require a key with the
/// scope `operator` or `admin`.
/// </summary>
internal static class DeploymentCommands
{
    /// <param name="getBackend">Returns the service that the command line selects.</param>
    public static IEnumerable<Command> Create(Func<ParseResult, Backend> getBackend)
    {
        var model = new Argument<string>("model") { Description = "Id on the Hugging Face hub, or a folder on the workers." };
        var revision = new Option<string>("--revision")
        {
            Description = "A branch, tag or commit. Default: the default branch.",
            DefaultValueFactory = _ => "",
        };
        var wait = new Option<bool>("--wait") { Description = "Wait until all replicas are loaded, or loading has failed on all workers." };

        var pinned = new Option<bool>("--pin") { Description = "Load the model even if no jobs wait, and never evict it for another." };
        var replicas = new Option<int>(
            "--replicas") { Description = "Number of workers that load the model.", DefaultValueFactory = _ => 1 };
        var dtype = new Option<string>("--dtype")
        {
            Description = "Element type of the weights: float32, bfloat16, float16. Default: the type that the worker is configured with.",
            DefaultValueFactory = _ => "",
        };
        var deploy = new Command("deploy", "Deploy a model: workers load it when jobs wait for it, or when they have free memory.")
        {
            model, revision, pinned, replicas, dtype, wait,
        };
        deploy.SetAction((parsed, cancellationToken) => SetAsync(parsed, _ => new Deployment
        {
            Pinned = parsed.GetValue(pinned),
            Replicas = ToReplicaCount(parsed.GetValue(replicas)),
            Dtype = ModelsFile.ParseDtype(parsed.GetValue(dtype)!)
                ?? throw new ArgumentException("--dtype must be float32, bfloat16 or float16."),
        }, cancellationToken));

        var pin = new Command("pin", "Load a model even if no jobs wait; deploys it if it is not deployed.") { model, revision, wait };
        pin.SetAction((parsed, cancellationToken) => SetAsync(
            parsed, current => Apply(current ?? new Deployment { Replicas = 1 }, d => d.Pinned = true), cancellationToken));

        var unpin = new Command("unpin", "Allow a model to be evicted for another.") { model, revision };
        unpin.SetAction((parsed, cancellationToken) => SetAsync(
            parsed, current => Apply(current ?? throw NotDeployed(parsed), d => d.Pinned = false), cancellationToken));

        var count = new Argument<int>("replicas") { Description = "Number of workers that load the model." };
        var scale = new Command("scale", "Set the number of replicas of a model.") { model, count, revision, wait };
        scale.SetAction((parsed, cancellationToken) => SetAsync(
            parsed, current => Apply(current ?? throw NotDeployed(parsed), d => d.Replicas = ToReplicaCount(parsed.GetValue(count))),
            cancellationToken));

        var worker = new Option<string?>("--worker") { Description = "Evict the model only from this worker; it stays deployed." };
        var evict = new Command(
            "evict", "Evict a model from the service: running jobs end, waiting jobs fail.") { model, revision, worker };
        evict.SetAction(async (parsed, cancellationToken) =>
        {
            await Deployments.EvictAsync(
                parsed.GetValue(model)!, parsed.GetValue(revision)!, parsed.GetValue(worker), getBackend(parsed), cancellationToken);
            Console.WriteLine(parsed.GetValue(worker) is { } id
                ? $"{id} evicts {Name(parsed)} when its running jobs have ended."
                : $"{Name(parsed)} is no longer deployed; its workers evict it when their running jobs have ended.");
            return 0;
        });

        var drained = new Argument<string>("worker") { Description = "Id of the worker, as in `ndif status`." };
        var drain = new Command("drain", "Stop a worker when its running jobs have ended; it accepts no new jobs.") { drained };
        drain.SetAction(async (parsed, cancellationToken) =>
        {
            WorkerStatus status = await Deployments.DrainAsync(parsed.GetValue(drained)!, getBackend(parsed), cancellationToken);
            Console.WriteLine($"{status.Id} accepts no new jobs and exits when its {status.Jobs.Count} running jobs have ended.");
            Console.WriteLine("Docker Compose and Kubernetes start it again then: to keep it away, stop its container or scale down.");
            return 0;
        });

        var list = new Command("list", "List the deployments and the models of the workers.");
        list.SetAction(async (parsed, cancellationToken) =>
        {
            ModelsCommand.PrintTable((await Status.GetAsync(getBackend(parsed), cancellationToken)).Models);
            return 0;
        });

        return [deploy, evict, pin, unpin, scale, drain, list, SyncCommand.Create(getBackend)];

        async Task<int> SetAsync(ParseResult parsed, Func<Deployment?, Deployment> change, CancellationToken cancellationToken)
        {
            Backend service = getBackend(parsed);
            (string id, string tag) = (parsed.GetValue(model)!, parsed.GetValue(revision)!);
            Deployment? current = (await Deployments.ListAsync(service, cancellationToken))
                .FirstOrDefault(deployment => deployment.Model == id && deployment.Revision == tag);
            Deployment desired = change(current);
            await Deployments.SetAsync(
                id, tag, desired.Pinned, (int)desired.Replicas, ModelsFile.ToDType(desired.Dtype), service, cancellationToken);
            Console.WriteLine($"{Name(parsed)} is deployed: {ModelsFile.Describe(desired)}.");
            if (parsed.GetResult(wait)?.GetValueOrDefault<bool>() == true) await WaitUntilReadyAsync(service, id, tag, cancellationToken);
            return 0;
        }

        string Name(ParseResult parsed) => ModelNames.Format(parsed.GetValue(model)!, parsed.GetValue(revision) ?? "");

        ArgumentException NotDeployed(ParseResult parsed) => new($"Nobody deployed {Name(parsed)}. Use `ndif models deploy` first.");
    }

    private static uint ToReplicaCount(int replicas) => replicas is >= 1 and <= 1000
        ? (uint)replicas
        : throw new ArgumentException("The number of replicas must be from 1 to 1000; to have none, use `ndif models evict`.");

    private static Deployment Apply(Deployment deployment, Action<Deployment> change)
    {
        change(deployment);
        return deployment;
    }

    /// <exception cref="NdifException">No worker can load the model.</exception>
    private static async Task WaitUntilReadyAsync(Backend backend, string model, string revision, CancellationToken cancellationToken)
    {
        using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(250));
        string reported = "";
        while (await tick.WaitForNextTickAsync(cancellationToken))
        {
            ServiceStatus service = await Status.GetAsync(backend, cancellationToken);
            ModelStatus? status =
                service.Models.FirstOrDefault(m => m.Id == model && (revision.Length == 0 || m.Revision == revision));
            if (status?.Error is { } error) throw Errors.ToException(error);
            if (status is null || status.Replicas < status.Wanted)
            {
                int workers = service.Workers.Count(worker => !worker.Draining);
                uint wanted = status?.Wanted ?? 1;
                string waiting = $"waiting: {status?.Replicas ?? 0} of {wanted} replicas are loaded, {workers} workers are alive"
                    + (workers < wanted ? "; the rest waits until more workers start (Ctrl+C ends the wait)" : "");
                if (waiting != reported) await Console.Error.WriteLineAsync(reported = waiting);
                continue;
            }
            Console.WriteLine($"{status.Replicas} of {status.Wanted} replicas are loaded.");
            return;
        }
    }
}
