using Ndif.Protocol;
using Ndif.Server.Admission;
using Ndif.Server.Edits;
using Ndif.Server.Hosting;
using Ndif.Server.Keys;
using Ndif.Server.Monitoring;

namespace Ndif.Server.OpenAi;

/// <summary>The models that a key can name: those of the service that generate text, and published edits of them.</summary>
internal sealed class OpenAiModelCatalog(
    ServedModelCatalog served, PublishedEditsService published, ServiceStatusReader statusReader, TokenizerCache tokenizers)
{
    /// <summary>Finds a model of the service, or else published edits that the key may use.</summary>
    /// <exception cref="OpenAiException">The model cannot complete texts.</exception>
    /// <exception cref="NdifException">UNKNOWN_MODEL, PERMISSION_DENIED or UNAVAILABLE.</exception>
    public async Task<CompletionModel> FindAsync(Caller caller, string name, CancellationToken cancellationToken)
    {
        try
        {
            return await FindServedAsync(caller, name, ModelNames.Parse(name), cancellationToken);
        }
        catch (NdifException unknown) when (unknown.Code is ErrorCode.UnknownModel)
        {
            if (await published.FindAsync(caller, name, cancellationToken) is not { } info) throw;
            CompletionModel model = await FindServedAsync(caller, name, info.Model, cancellationToken);
            return model with { Edits = new CompletionEdits(await published.ReadProgramAsync(info, cancellationToken), info.Owner) };
        }
    }

    private async Task<CompletionModel> FindServedAsync(
        Caller caller, string name, ModelRef model, CancellationToken cancellationToken)
    {
        (string queueName, ModelDescription? description) = await served.FindAsync(model, cancellationToken);
        if (!caller.CanUseModel(model.Id)) throw ServerErrors.ModelNotAllowed(caller, model.Id);
        if (description is null) throw ServerErrors.NotDescribed(queueName);
        if (description.Task is not ModelTask.CausalLm)
            throw new OpenAiException(
                $"The model `{name}` is a model for {description.Task.ToName()}; completions need one for causal language modeling.",
                "model", "model_not_supported");
        return new CompletionModel(name, model, description, tokenizers.Get(queueName, description));
    }

    /// <summary>The models that the key may use. A list is long for the queue: a key reads one at a time.</summary>
    public async Task<IReadOnlyList<OpenAiModel>> ListAsync(Caller caller, CancellationToken cancellationToken)
    {
        if (RequestScope.Current is { } scope) await scope.TakeTurnAsync(cancellationToken);
        OpenAiModel[] models =
            [.. (await statusReader.ReadAsync(cancellationToken)).Models
                .Where(model => ServiceStatusReader.IsServed(model) && model.Task is ModelTask.CausalLm && caller.CanUseModel(model.Id))
                .Select(model => new OpenAiModel(model.Id, 0, "ndif"))];
        HashSet<string> ids = [.. models.Select(model => model.Id)];
        IEnumerable<OpenAiModel> edits = (await published.ListAsync(caller, cancellationToken))
            .Where(info => ids.Contains(info.Model.Id)).DistinctBy(info => info.Name)
            .Select(info => new OpenAiModel(info.Name, info.Created.Seconds, info.Owner));
        return [.. models, .. edits.Where(model => !ids.Contains(model.Id))];
    }

    /// <exception cref="NdifException">UNKNOWN_MODEL: there is no such model for the key.</exception>
    public async Task<OpenAiModel> GetAsync(Caller caller, string name, CancellationToken cancellationToken)
    {
        IReadOnlyList<OpenAiModel> models = await ListAsync(caller, cancellationToken);
        return models.FirstOrDefault(model => model.Id == name)
            ?? throw ServerErrors.UnknownModel(name, [.. models.Select(model => model.Id)]);
    }
}

/// <summary>A model of the list.</summary>
/// <param name="Created">Seconds since 1970; 0 if it is not known.</param>
internal sealed record OpenAiModel(string Id, long Created, string OwnedBy);
