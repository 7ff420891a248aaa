using System.CommandLine;
using Ndif.Cli.Deploying;
using Ndif.Protocol;

namespace Ndif.Cli.Commands;

/// <summary>`ndif models deploy|evict|pin|unpin|scale|drain|list|sync`: what the service is to hold. All but list need `operator` or `admin`.</summary>
internal static class DeploymentCommands
{
    /// <param name="getBackend">The service that is meant.</param>
    public static IEnumerable<Command> Create(Func<ParseResult, Backend> getBackend)
    {
        var model = new Argument<string>("model") { Description = "Id on the hub, or a folder that the workers have." };
        var revision = new Option<string>("--revision") { Description = "A branch, tag or commit. Default: the default branch.", DefaultValueFactory = _ => "" };
        var wait = new Option<bool>("--wait") { Description = "Wait until as many workers hold it, or none can." };

        var pinned = new Option<bool>("--pin") { Description = "Hold it whether jobs wait or not, and never evict it for another." };
        var replicas = new Option<int>("--replicas") { Description = "Workers that may hold it.", DefaultValueFactory = _ => 1 };
        var dtype = new Option<string>("--dtype") { Description = "Element type to load weights in: float32, bfloat16, float16. Default: the worker's.", DefaultValueFactory = _ => "" };
        var deploy = new Command("deploy", "Want a model: workers load it when jobs wait for it, or when they have room.") { model, revision, pinned, replicas, dtype, wait };
        deploy.SetAction((parsed, cancellationToken) => SetAsync(parsed, _ => new Deployment
        {
            Pinned = parsed.GetValue(pinned), Replicas = ToReplicaCount(parsed.GetValue(replicas)), Dtype = ModelsFile.ParseDtype(parsed.GetValue(dtype)!) ?? throw new ArgumentException("--dtype is float32, bfloat16 or float16."),
        }, cancellationToken));

        var pin = new Command("pin", "Hold a model whether jobs wait or not; deploys it if nobody did.") { model, revision, wait };
        pin.SetAction((parsed, cancellationToken) => SetAsync(parsed, now => Apply(now ?? new Deployment { Replicas = 1 }, d => d.Pinned = true), cancellationToken));

        var unpin = new Command("unpin", "Let a model be evicted for another.") { model, revision };
        unpin.SetAction((parsed, cancellationToken) => SetAsync(parsed, now => Apply(now ?? throw NotDeployed(parsed), d => d.Pinned = false), cancellationToken));

        var count = new Argument<int>("replicas") { Description = "Workers that may hold it." };
        var scale = new Command("scale", "Set how many workers hold a model.") { model, count, revision, wait };
        scale.SetAction((parsed, cancellationToken) => SetAsync(parsed, now => Apply(now ?? throw NotDeployed(parsed), d => d.Replicas = ToReplicaCount(parsed.GetValue(count))), cancellationToken));

        var worker = new Option<string?>("--worker") { Description = "Only off this worker; it stays deployed." };
        var evict = new Command("evict", "Take a model off the service: what runs ends, what waits for it fails.") { model, revision, worker };
        evict.SetAction(async (parsed, cancellationToken) =>
        {
            await Deployments.EvictAsync(parsed.GetValue(model)!, parsed.GetValue(revision)!, parsed.GetValue(worker), getBackend(parsed), cancellationToken);
            Console.WriteLine(parsed.GetValue(worker) is { } one ? $"{one} takes {Name(parsed)} off when its jobs have ended." : $"{Name(parsed)} is deployed no more; its workers take it off when its jobs have ended.");
            return 0;
        });

        var drained = new Argument<string>("worker") { Description = "The worker's id, as in `ndif status`." };
        var drain = new Command("drain", "Have a worker take nothing new, end what it runs, and leave.") { drained };
        drain.SetAction(async (parsed, cancellationToken) =>
        {
            WorkerStatus told = await Deployments.DrainAsync(parsed.GetValue(drained)!, getBackend(parsed), cancellationToken);
            Console.WriteLine($"{told.Id} takes nothing new and leaves when its {told.Jobs.Count} jobs have ended.");
            return 0;
        });

        var list = new Command("list", "List what is deployed and what workers hold.");
        list.SetAction(async (parsed, cancellationToken) =>
        {
            ModelsCommand.PrintTable((await Status.GetAsync(getBackend(parsed), cancellationToken)).Models);
            return 0;
        });

        return [deploy, evict, pin, unpin, scale, drain, list, SyncCommand.Create(getBackend)];

        async Task<int> SetAsync(ParseResult parsed, Func<Deployment?, Deployment> change, CancellationToken cancellationToken)
        {
            Backend service = getBackend(parsed);
            (string id, string at) = (parsed.GetValue(model)!, parsed.GetValue(revision)!);
            Deployment? now = (await Deployments.ListAsync(service, cancellationToken)).FirstOrDefault(d => d.Model == id && d.Revision == at);
            Deployment wanted = change(now);
            await Deployments.SetAsync(id, at, wanted.Pinned, (int)wanted.Replicas, ModelsFile.ToDType(wanted.Dtype), service, cancellationToken);
            Console.WriteLine($"{Name(parsed)} is deployed: {ModelsFile.Describe(wanted)}.");
            if (parsed.GetResult(wait)?.GetValueOrDefault<bool>() == true) await WaitUntilReadyAsync(service, id, at, cancellationToken);
            return 0;
        }

        string Name(ParseResult parsed) => ModelNames.Format(parsed.GetValue(model)!, parsed.GetValue(revision) ?? "");

        ArgumentException NotDeployed(ParseResult parsed) => new($"Nobody deployed {Name(parsed)}: `ndif models deploy` does.");
    }

    private static uint ToReplicaCount(int replicas) => replicas is >= 1 and <= 1000 ? (uint)replicas : throw new ArgumentException("Replicas are from 1 to 1000; `ndif models evict` leaves none.");

    private static Deployment Apply(Deployment deployment, Action<Deployment> change)
    {
        change(deployment);
        return deployment;
    }

    /// <exception cref="NdifException">Why no worker can hold it.</exception>
    private static async Task WaitUntilReadyAsync(Backend backend, string model, string revision, CancellationToken cancellationToken)
    {
        using var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(250));
        while (await tick.WaitForNextTickAsync(cancellationToken))
        {
            ModelStatus? status = (await Status.GetAsync(backend, cancellationToken)).Models.FirstOrDefault(m => m.Id == model && (revision.Length == 0 || m.Revision == revision));
            if (status?.Error is { } because) throw Errors.ToException(because);
            if (status is null || status.Replicas < status.Wanted) continue;
            Console.WriteLine($"{status.Replicas} of {status.Wanted} hold it.");
            return;
        }
    }
}
