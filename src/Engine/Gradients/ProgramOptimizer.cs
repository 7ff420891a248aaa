using Ndif.Protocol;
using Ndif.Protocol.Programs;
using TorchSharp;

namespace Ndif.Engine.Gradients;

/// <summary>
/// An optimizer that a program has created. The update rules are those of PyTorch's documentation (<c>torch.optim.SGD</c>, <c>Adam</c>,
/// <c>AdamW</c>).
/// </summary>
/// <remarks>
/// TorchSharp's optimizers leave two tensors per parameter of Adam to the finalizer; a run must not leave native tensors behind.
/// </remarks>
internal sealed class ProgramOptimizer : IDisposable
{
    private readonly ParameterState[] _parameters;
    private readonly Action<ParameterState, torch.Tensor> _update;
    private readonly OptimizerSettings _settings;

    /// <param name="parameters">Borrowed; the optimizer creates its own handles.</param>
    public ProgramOptimizer(NewOptimizer description, IEnumerable<torch.Tensor> parameters)
    {
        _settings = new OptimizerSettings(description);
        _update = description.Kind switch
        {
            "sgd" => UpdateSgd,
            "adam" => (p, gradient) => UpdateAdam(p, WithWeightDecay(p, gradient)),
            "adamw" => UpdateAdamW,
            _ => throw _settings.UnknownKind(),
        };
        _parameters = [.. parameters.Select(p => new ParameterState(p.alias().DetachFromDisposeScope()))];
    }

    /// <summary>The parameters, borrowed.</summary>
    public IEnumerable<torch.Tensor> Parameters => _parameters.Select(p => p.Value);

    /// <summary>The bytes of the averages that an optimizer has for each of its parameters: at most the two of Adam.</summary>
    public long MaxBytes => _parameters.Sum(p => 2 * p.Value.numel() * p.Value.element_size());

    /// <summary>Creates a leaf of the graph with the elements of a value, outside of any dispose scope.</summary>
    public static torch.Tensor NewParameter(object? initial)
    {
        using var scope = torch.NewDisposeScope();
        using var noGraph = torch.no_grad();
        if (initial is not torch.Tensor tensor || !torch.is_floating_point(tensor))
            throw Errors.CreateException(ErrorCode.BadArgument, "A parameter begins as a floating-point tensor.",
                "Convert it: `.Float()`.");
        return tensor.detach().clone().requires_grad_(true).DetachFromDisposeScope();
    }

    /// <summary>Updates each parameter that has a gradient.</summary>
    public void Step()
    {
        using var scope = torch.NewDisposeScope();
        using var noGraph = torch.no_grad();
        foreach (ParameterState parameter in _parameters)
        {
            if (parameter.Value.grad is not { } gradient) continue;
            parameter.StepCount++;
            _update(parameter, gradient);
        }
    }

    public void ZeroGrad()
    {
        using var scope = torch.NewDisposeScope();
        using var noGraph = torch.no_grad();
        foreach (ParameterState parameter in _parameters) parameter.Value.grad?.zero_();
    }

    public void Dispose()
    {
        foreach (ParameterState parameter in _parameters) parameter.Dispose();
    }

    private void UpdateSgd(ParameterState p, torch.Tensor gradient)
    {
        torch.Tensor step = WithWeightDecay(p, gradient);
        double momentum = _settings.GetOption("momentum", 0);
        if (momentum != 0)
        {
            if (p.FirstMoment is null) p.FirstMoment = step.clone().DetachFromDisposeScope();
            else p.FirstMoment.mul_(momentum).add_(step, alpha: 1 - _settings.GetOption("dampening", 0));
            step = _settings.GetOption("nesterov", 0) != 0 ? step.add(p.FirstMoment, alpha: momentum) : p.FirstMoment;
        }
        p.Value.add_(step, alpha: -_settings.LearningRate);
    }

    private void UpdateAdamW(ParameterState p, torch.Tensor gradient)
    {
        p.Value.mul_(1 - _settings.LearningRate * _settings.GetOption("weight_decay", OptimizerSettings.DefaultAdamWWeightDecay));
        UpdateAdam(p, gradient);
    }

    private void UpdateAdam(ParameterState p, torch.Tensor gradient)
    {
        double beta1 = _settings.GetOption("beta1", 0.9), beta2 = _settings.GetOption("beta2", 0.999);
        p.FirstMoment ??= torch.zeros_like(p.Value).DetachFromDisposeScope();
        p.SecondMoment ??= torch.zeros_like(p.Value).DetachFromDisposeScope();
        p.FirstMoment.mul_(beta1).add_(gradient, alpha: 1 - beta1);
        p.SecondMoment.mul_(beta2).addcmul_(gradient, gradient, 1 - beta2);
        torch.Tensor deviation = (p.SecondMoment / (1 - Math.Pow(beta2, p.StepCount))).sqrt().add(_settings.GetOption("eps", 1e-8));
        p.Value.addcdiv_(p.FirstMoment, deviation, -_settings.LearningRate / (1 - Math.Pow(beta1, p.StepCount)));
    }

    private torch.Tensor WithWeightDecay(ParameterState p, torch.Tensor gradient) =>
        _settings.GetOption("weight_decay", 0) is var decay and not 0 ? gradient.add(p.Value, alpha: decay) : gradient;

    /// <summary>A parameter and the moments of its gradients.</summary>
    private sealed class ParameterState(torch.Tensor value) : IDisposable
    {
        public torch.Tensor Value { get; } = value;

        public int StepCount { get; set; }

        public torch.Tensor? FirstMoment { get; set; }

        public torch.Tensor? SecondMoment { get; set; }

        public void Dispose()
        {
            Value.Dispose();
            FirstMoment?.Dispose();
            SecondMoment?.Dispose();
        }
    }
}
