using Ndif.Protocol;
using Ndif.Server.Admission;
using Ndif.Server.Keys;
using Ndif.Server.Monitoring;

namespace Ndif.Server.OpenAi;

/// <summary>The models that a key can name: those of the service that generate text.</summary>
internal sealed class OpenAiModelCatalog(ServedModelCatalog served, ServiceStatusReader statusReader, TokenizerCache tokenizers)
{
    /// <exception cref="OpenAiException">The model cannot complete texts.</exception>
    /// <exception cref="NdifException">UNKNOWN_MODEL, PERMISSION_DENIED or UNAVAILABLE.</exception>
    public async Task<CompletionModel> FindAsync(Caller caller, string name, CancellationToken cancellationToken)
    {
        ModelRef model = ModelNames.Parse(name);
        (string queueName, ModelDescription? description) = await served.FindAsync(model, cancellationToken);
        if (!caller.CanUseModel(model.Id)) throw ServerErrors.ModelNotAllowed(caller, model.Id);
        if (description is null) throw ServerErrors.NotDescribed(queueName);
        if (description.Task is not ModelTask.CausalLm)
            throw new OpenAiException(
                $"The model `{name}` is a model for {description.Task.ToName()}; completions need one for causal language modeling.",
                "model", "model_not_supported");
        return new CompletionModel(name, model, description, tokenizers.Get(queueName, description));
    }

    /// <summary>The models that the key may use.</summary>
    public async Task<IReadOnlyList<OpenAiModel>> ListAsync(Caller caller, CancellationToken cancellationToken) =>
        [.. (await statusReader.ReadAsync(cancellationToken)).Models
            .Where(model => ServiceStatusReader.IsServed(model) && model.Task is ModelTask.CausalLm && caller.CanUseModel(model.Id))
            .Select(model => new OpenAiModel(model.Id, 0, "ndif"))];

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
